//! Says that this is the build whose interleavings are tried.

fn main() {
    println!("cargo::rustc-cfg=shuttle");
}
