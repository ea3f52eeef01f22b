//! Why an upload is not taken.

use std::fmt;

use ringlet_core::contribution::UploadError;

/// Why an upload, or a withdrawal, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no upload.
    Malformed,
    /// It has more contributions or bytes than the task allows.
    TooLarge,
    /// It did not come within the time of a request.
    TooSlow,
    /// It is for another task.
    UnknownTask,
    /// It is not signed by an owner of the task.
    UnknownOwner,
    /// Its signature is not its owner's.
    BadSignature,
    /// Its owner has contributed as much as it may.
    OverQuota,
    /// It came too late.
    DeadlinePassed,
    /// There are other bytes under its name.
    OtherBytes,
    /// It was withdrawn.
    Withdrawn,
    /// Its seals do not open, or hold different seeds.
    SealsDiffer,
    /// No upload has this name.
    UnknownUpload,
    /// A server is away or busy. The same upload may come again.
    NotAvailable,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Refusal; 13] = [
        Refusal::Malformed,
        Refusal::TooLarge,
        Refusal::TooSlow,
        Refusal::UnknownTask,
        Refusal::UnknownOwner,
        Refusal::BadSignature,
        Refusal::OverQuota,
        Refusal::DeadlinePassed,
        Refusal::OtherBytes,
        Refusal::Withdrawn,
        Refusal::SealsDiffer,
        Refusal::UnknownUpload,
        Refusal::NotAvailable,
    ];

    /// Its name, for programs.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::Malformed => "malformed",
            Refusal::TooLarge => "too-large",
            Refusal::TooSlow => "too-slow",
            Refusal::UnknownTask => "unknown-task",
            Refusal::UnknownOwner => "unknown-owner",
            Refusal::BadSignature => "bad-signature",
            Refusal::OverQuota => "over-quota",
            Refusal::DeadlinePassed => "deadline-passed",
            Refusal::OtherBytes => "other-bytes",
            Refusal::Withdrawn => "withdrawn",
            Refusal::SealsDiffer => "seals-differ",
            Refusal::UnknownUpload => "unknown-upload",
            Refusal::NotAvailable => "not-available",
        }
    }

    /// The refusal of this name.
    pub fn of_code(code: &str) -> Option<Self> {
        Refusal::ALL
            .into_iter()
            .find(|refusal| refusal.code() == code)
    }

    /// The status of HTTP.
    pub fn status(self) -> u16 {
        match self {
            Refusal::Malformed => 400,
            Refusal::BadSignature => 401,
            Refusal::UnknownOwner | Refusal::OverQuota | Refusal::DeadlinePassed => 403,
            Refusal::UnknownTask | Refusal::UnknownUpload => 404,
            Refusal::TooSlow => 408,
            Refusal::OtherBytes => 409,
            Refusal::Withdrawn => 410,
            Refusal::TooLarge => 413,
            Refusal::SealsDiffer => 422,
            Refusal::NotAvailable => 503,
        }
    }

    /// What the owner can do.
    pub fn remedy(self) -> &'static str {
        match self {
            Refusal::Malformed | Refusal::UnknownTask => {
                "use the newest task file, and the version of this program that the servers use"
            }
            Refusal::TooLarge => "send fewer with --per-upload",
            Refusal::TooSlow | Refusal::NotAvailable => "send it again later",
            Refusal::UnknownOwner => "give --owner, with a key that the task names",
            Refusal::BadSignature => "give the owner's own key with --owner",
            Refusal::OverQuota => "ask whoever made the task for a larger quota",
            Refusal::DeadlinePassed => "ask whoever made the task for a new one",
            Refusal::OtherBytes => "begin anew, with another --state",
            Refusal::Withdrawn => {
                "begin anew with another --state, if you want to contribute after all"
            }
            Refusal::SealsDiffer => "get the task file again, and begin anew with another --state",
            Refusal::UnknownUpload => {
                "give the upload's name as `ringlet contribute` has printed it"
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Malformed => "it is no upload of this version",
            Refusal::TooLarge => "it has more contributions than the task allows",
            Refusal::TooSlow => "it took too long to arrive",
            Refusal::UnknownTask => "it is for another task",
            Refusal::UnknownOwner => "it is not signed by an owner of the task",
            Refusal::BadSignature => "its signature is not its owner's",
            Refusal::OverQuota => "its owner has contributed as much as it may",
            Refusal::DeadlinePassed => "the task's deadline has passed",
            Refusal::OtherBytes => "another upload has its name",
            Refusal::Withdrawn => "it was withdrawn",
            Refusal::SealsDiffer => "its seals do not open, or hold different seeds",
            Refusal::UnknownUpload => "no upload has this name",
            Refusal::NotAvailable => "a server is away or busy for the moment",
        })
    }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::OtherTask => Refusal::UnknownTask,
            UploadError::Seal => Refusal::SealsDiffer,
            _ => Refusal::Malformed,
        }
    }
}
