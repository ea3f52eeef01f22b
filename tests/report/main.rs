//! Reports: every figure and number on the page against what the run itself says, and what a browser makes of the page.

mod chromium;
mod page;
mod party;
mod simulation;
