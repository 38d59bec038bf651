//! Journals and stores of snapshots that do one thing otherwise than the one behind them.

/// Writes those methods of an `impl Journal` that only hand on to the journal behind it: all but those that are named.
///
/// A named method is written beside it, or is what the trait says of it: a `settle` of its own reads with the journal's own
/// `read`, and a `settle` of the other doesn't.
///
/// ```ignore
/// impl Journal for Late {
///     annals_tests::through! { inner, but append, settle }
///
///     fn append(&self, group: Vec<Run>) -> Fut<'static, Vec<Outcome>> { .. }
/// }
/// ```
#[macro_export]
macro_rules! through {
    ($inner:tt $(, but $($own:ident),+)?) => {
        $crate::through! {
            @each $inner [$($($own)+)?]
            facts open_stream close_stream append settle durable changed read read_all armed stream_id delete_to forget
            cipher snapshots health close
        }
    };
    (@each $inner:tt $own:tt $($method:ident)+) => {
        $($crate::through! { @unless $own $method $inner })+
    };

    // A method that is named is left out.
    (@unless [facts $($own:ident)*] facts $inner:tt) => {};
    (@unless [open_stream $($own:ident)*] open_stream $inner:tt) => {};
    (@unless [close_stream $($own:ident)*] close_stream $inner:tt) => {};
    (@unless [append $($own:ident)*] append $inner:tt) => {};
    (@unless [settle $($own:ident)*] settle $inner:tt) => {};
    (@unless [durable $($own:ident)*] durable $inner:tt) => {};
    (@unless [changed $($own:ident)*] changed $inner:tt) => {};
    (@unless [read $($own:ident)*] read $inner:tt) => {};
    (@unless [read_all $($own:ident)*] read_all $inner:tt) => {};
    (@unless [armed $($own:ident)*] armed $inner:tt) => {};
    (@unless [stream_id $($own:ident)*] stream_id $inner:tt) => {};
    (@unless [delete_to $($own:ident)*] delete_to $inner:tt) => {};
    (@unless [forget $($own:ident)*] forget $inner:tt) => {};
    (@unless [cipher $($own:ident)*] cipher $inner:tt) => {};
    (@unless [snapshots $($own:ident)*] snapshots $inner:tt) => {};
    (@unless [health $($own:ident)*] health $inner:tt) => {};
    (@unless [close $($own:ident)*] close $inner:tt) => {};
    (@unless [$other:ident $($own:ident)*] $method:ident $inner:tt) => {
        $crate::through! { @unless [$($own)*] $method $inner }
    };
    (@unless [] $method:ident $inner:tt) => {
        $crate::through! { @$method $inner }
    };

    (@facts $inner:tt) => {
        fn facts(&self) -> ::annals::journal::Facts {
            self.$inner.facts()
        }
    };
    (@open_stream $inner:tt) => {
        fn open_stream(
            &self,
            id: &::annals::PersistenceId,
        ) -> ::annals::journal::Fut<'_, Result<::annals::journal::StreamHead, ::annals::journal::ReadError>> {
            self.$inner.open_stream(id)
        }
    };
    (@close_stream $inner:tt) => {
        fn close_stream(&self, stream: ::annals::StreamNo) {
            self.$inner.close_stream(stream);
        }
    };
    (@append $inner:tt) => {
        fn append(
            &self,
            group: Vec<::annals::journal::Run>,
        ) -> ::annals::journal::Fut<'static, Vec<::annals::journal::Outcome>> {
            self.$inner.append(group)
        }
    };
    (@settle $inner:tt) => {
        fn settle(
            &self,
            run: &::annals::journal::RunKey,
        ) -> ::annals::journal::Fut<'_, Result<::annals::journal::Settled, ::annals::journal::ReadError>> {
            self.$inner.settle(run)
        }
    };
    (@durable $inner:tt) => {
        fn durable(&self) -> ::annals::Offset {
            self.$inner.durable()
        }
    };
    (@changed $inner:tt) => {
        fn changed(&self, beyond: ::annals::Offset) -> ::annals::journal::Fut<'static, ::annals::Offset> {
            self.$inner.changed(beyond)
        }
    };
    (@read $inner:tt) => {
        fn read(
            &self,
            stream: ::annals::StreamNo,
            from: ::annals::SeqNr,
            to: ::annals::SeqNr,
            bytes_max: usize,
        ) -> ::annals::journal::Fut<'_, Result<::annals::journal::Page, ::annals::journal::ReadError>> {
            self.$inner.read(stream, from, to, bytes_max)
        }
    };
    (@read_all $inner:tt) => {
        fn read_all(
            &self,
            after: ::annals::Offset,
            bytes_max: usize,
        ) -> ::annals::journal::Fut<'_, Result<::annals::journal::Page, ::annals::journal::ReadError>> {
            self.$inner.read_all(after, bytes_max)
        }
    };
    (@armed $inner:tt) => {
        fn armed(
            &self,
        ) -> ::annals::journal::Fut<'_, Result<Vec<::annals::journal::Armed>, ::annals::journal::ReadError>> {
            self.$inner.armed()
        }
    };
    (@stream_id $inner:tt) => {
        fn stream_id(
            &self,
            stream: ::annals::StreamNo,
        ) -> ::annals::journal::Fut<'_, Result<Option<::annals::PersistenceId>, ::annals::journal::ReadError>> {
            self.$inner.stream_id(stream)
        }
    };
    (@delete_to $inner:tt) => {
        fn delete_to(
            &self,
            stream: ::annals::StreamNo,
            to: ::annals::SeqNr,
        ) -> ::annals::journal::Fut<'static, ::annals::journal::Outcome> {
            self.$inner.delete_to(stream, to)
        }
    };
    (@forget $inner:tt) => {
        fn forget(
            &self,
            stream: ::annals::StreamNo,
        ) -> ::annals::journal::Fut<'static, ::annals::journal::Outcome> {
            self.$inner.forget(stream)
        }
    };
    (@cipher $inner:tt) => {
        fn cipher(
            &self,
            stream: ::annals::StreamNo,
        ) -> Result<Option<std::sync::Arc<dyn ::annals::journal::Cipher>>, ::annals::journal::ReadError> {
            self.$inner.cipher(stream)
        }
    };
    (@snapshots $inner:tt) => {
        fn snapshots(&self) -> Option<std::sync::Arc<dyn ::annals::snapshot::SnapshotStore>> {
            self.$inner.snapshots()
        }
    };
    (@health $inner:tt) => {
        fn health(&self) -> ::annals::journal::Health {
            self.$inner.health()
        }
    };
    (@close $inner:tt) => {
        fn close(&self) -> ::annals::journal::Fut<'_, Result<(), ::annals::journal::CloseError>> {
            self.$inner.close()
        }
    };
}
