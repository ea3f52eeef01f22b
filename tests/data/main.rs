//! Images in every form that `--data` takes, sound and damaged, and the classes on which both parties agree.

mod damage;
mod files;
mod parties;
mod sources;
