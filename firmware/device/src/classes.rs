//! What becomes of the classes that a device finds of its own samples.

/// Takes the classes of a device's own samples.
pub trait Classes {
    /// The class of each sample, in their order, once all roles have ended the session well.
    fn found(&mut self, classes: &[u8]);
}

/// Writes them to the log, if there is one.
pub struct Logged;

impl Classes for Logged {
    fn found(&mut self, classes: &[u8]) {
        #[cfg(feature = "defmt")]
        for (sample, class) in classes.iter().enumerate() {
            defmt::info!("sample {=usize} is of class {=u8}", sample, class);
        }
        let _ = classes;
    }
}

/// Writes them to the file `classes` in the emulator's working directory, by semihosting, a byte each.
#[cfg(all(feature = "emulated", target_os = "none"))]
pub struct ClassesFile;

#[cfg(all(feature = "emulated", target_os = "none"))]
impl Classes for ClassesFile {
    fn found(&mut self, classes: &[u8]) {
        use semihosting::{fs::File, io::Write as _};

        // Nobody reads the file of an emulator that cannot write it.
        let _ = File::create(c"classes").and_then(|mut file| file.write_all(classes));
    }
}
