//! How a projection goes about its work: most in one go, large ones with pauses.

/// Steps between two pauses: some 50 µs.
const STEPS: u32 = 4_096;

/// Told of each step: a value read, a field or item written.
pub(super) trait Pace {
    fn step(&mut self);
}

/// In one go. Costs nothing.
pub(super) struct Brisk;

impl Pace for Brisk {
    #[inline]
    fn step(&mut self) {}
}

/// With a pause now and then.
pub(super) struct Gentle<P> {
    steps: u32,
    pause: P,
}

impl<P: FnMut()> Gentle<P> {
    pub(super) fn new(pause: P) -> Self {
        Self { steps: 0, pause }
    }
}

impl<P: FnMut()> Pace for Gentle<P> {
    fn step(&mut self) {
        self.steps += 1;
        if self.steps == STEPS {
            self.steps = 0;
            (self.pause)();
        }
    }
}
