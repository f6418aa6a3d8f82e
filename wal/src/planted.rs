//! Bugs planted for the simulator: each must be found, or the simulator is broken.
//!
//! Without the feature `planted` every question is answered "no" at build time.

#[cfg(feature = "planted")]
mod switches {
    /// One bug.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Plant {
        /// Durable is the highest frame that completed, not the contiguous prefix.
        CountOutOfOrder,
        /// The recovered tail is used without a flush.
        UseTailUnflushed,
        /// Recovery cuts at the first bad frame, whatever the hints prove.
        CutAtFirstBad,
        /// A frame counts as durable when it is submitted.
        AckBeforeDurable,
        /// Segments are used again with salt 0, an old header in place, and no chain checked.
        SameSalt,
        /// A frame counts as durable before its segment's header is.
        IgnoreHeader,
        /// Hints run one window ahead of the truth.
        LostHint,
        /// Trimmed segments are used again before anything durable says that they are gone.
        ReuseBeforeTrim,
    }

    impl Plant {
        /// Every bug, for tests that run through them.
        pub const ALL: [Self; 8] = [
            Self::CountOutOfOrder,
            Self::UseTailUnflushed,
            Self::CutAtFirstBad,
            Self::AckBeforeDurable,
            Self::SameSalt,
            Self::IgnoreHeader,
            Self::LostHint,
            Self::ReuseBeforeTrim,
        ];
    }

    /// The bugs planted in one log.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Planted(Option<Plant>);

    impl Planted {
        pub const fn one(plant: Plant) -> Self {
            Self(Some(plant))
        }

        pub const fn none() -> Self {
            Self(None)
        }

        pub(crate) fn is(self, plant: Plant) -> bool {
            self.0 == Some(plant)
        }
    }
}

#[cfg(not(feature = "planted"))]
mod switches {
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Plant {
        CountOutOfOrder,
        UseTailUnflushed,
        CutAtFirstBad,
        AckBeforeDurable,
        SameSalt,
        IgnoreHeader,
        LostHint,
        ReuseBeforeTrim,
    }

    /// No bugs.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Planted;

    impl Planted {
        pub const fn none() -> Self {
            Self
        }

        #[inline(always)]
        pub(crate) fn is(self, _plant: Plant) -> bool {
            false
        }
    }
}

#[cfg(feature = "planted")]
pub use switches::Plant;
#[cfg(not(feature = "planted"))]
pub(crate) use switches::Plant;
pub use switches::Planted;
