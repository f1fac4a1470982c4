//! What is proved of dependences, against the executor that computes them: tokens that an element is said not to depend
//! on are changed, and it must not move a bit. Then programs whose verdict is known.

mod known_guests;
mod program;
mod random;
