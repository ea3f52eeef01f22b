//! The task of a collection as a file: what owners are asked to contribute, to whom, until when, and who may. It is public.

use std::{collections::BTreeMap, fs, path::Path};

use ed25519_dalek::VerifyingKey;
use ringlet_core::{
    contribution::{CollectionTask, Header, TaskId, TaskImage, UploadId},
    net::secure::{Prologue, PublicIdentity},
};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::toml_error::one_line;
use crate::{
    data::{
        hexadecimal,
        identity_file::{parse_public, public_text},
        normalise::MeanAndDeviation,
        owner_key,
    },
    error::Failure,
};

/// The most bytes of an upload that a task may allow.
pub const MOST_BYTES: usize = 8 << 20;

/// Bytes of an upload that takes as many contributions as fit.
const USUAL_BYTES: usize = 64 << 10;

/// The name of an owner in its uploads: the first bytes of its key.
pub type OwnerName = [u8; 8];

/// An owner that may contribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its public key.
    pub key: VerifyingKey,
    /// The most contributions that are taken from it.
    pub quota: u32,
}

/// Who may contribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contributors {
    /// Anybody, without a signature.
    Anybody,
    /// These owners, who sign.
    Registered(BTreeMap<OwnerName, Owner>),
}

/// What a task asks for beside samples of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The names of the classes, in the order of their numbers, if they have names.
    pub classes: Option<Vec<String>>,
    /// Where the leader takes uploads (host:port).
    pub address: String,
    /// SHA-256 of the leader's certificate.
    pub certificate: [u8; 32],
    /// When the last upload is taken, in seconds since 1970.
    pub deadline: i64,
    /// The fewest owners of a list that a training takes.
    pub least_owners: u32,
    /// The most contributions of an upload.
    pub most_contributions: u16,
    /// Who may contribute.
    pub contributors: Contributors,
}

/// The task of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskFile {
    /// What the core knows of it.
    pub task: CollectionTask,
    /// Its name.
    pub id: TaskId,
    /// The normalisation of samples, as a user gives it.
    pub normalise: MeanAndDeviation,
    /// The rest, which the task's name binds too.
    pub terms: Terms,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Content {
    id: String,
    samples: Samples,
    uploads: Uploads,
    identities: Identities,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    owners: Vec<OwnerEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Samples {
    input: [u32; 3],
    classes: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_names: Option<Vec<String>>,
    normalise: String,
    fraction_bits: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Uploads {
    address: String,
    certificate: String,
    deadline: String,
    most_contributions: u16,
    least_owners: u32,
    open: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identities {
    p0: String,
    p1: String,
    dealer: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnerEntry {
    key: String,
    quota: u32,
}

/// The name of the owner with this key.
pub fn owner_name(key: &VerifyingKey) -> OwnerName {
    let mut name = OwnerName::default();
    name.copy_from_slice(&key.as_bytes()[..8]);
    name
}

/// Parses a date and time of RFC 3339. Fails with what is wrong with it.
pub fn parse_deadline(text: &str) -> Result<i64, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map(OffsetDateTime::unix_timestamp)
        .map_err(|_| "give a date and time such as 2030-12-31T23:59:59Z".to_owned())
}

/// Seconds since 1970 as a date and time of RFC 3339.
pub fn deadline_text(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    text.unwrap_or_else(|| seconds.to_string())
}

impl Contributors {
    /// These owners. Fails if two of them have one name.
    pub fn registered(owners: impl IntoIterator<Item = Owner>) -> Result<Self, String> {
        let mut named = BTreeMap::new();
        for owner in owners {
            if named.insert(owner_name(&owner.key), owner).is_some() {
                let key = owner_key::public_text(&owner.key);
                return Err(format!("the owner {key} is there twice"));
            }
        }
        match named.is_empty() {
            true => Err("nobody may contribute".to_owned()),
            false => Ok(Contributors::Registered(named)),
        }
    }
}

impl Terms {
    /// Whether a list with so many owners may be trained on. Where anybody may contribute, owners are not known.
    pub fn enough(&self, owners: u64) -> bool {
        self.contributors == Contributors::Anybody || owners >= u64::from(self.least_owners)
    }

    /// A hash of all of them.
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = Prologue::new("ringlet collection terms");
        hash.add_message(&(
            &self.classes,
            &self.address,
            self.certificate,
            self.deadline,
            self.least_owners,
            self.most_contributions,
        ));
        if let Contributors::Registered(owners) = &self.contributors {
            for owner in owners.values() {
                hash.add_message(&(owner.key.as_bytes(), owner.quota));
            }
        }
        hash.hash()
    }
}

impl TaskFile {
    /// A task with these terms. What `task` has for them is replaced. Fails with what is wrong.
    pub fn new(
        task: CollectionTask,
        normalise: MeanAndDeviation,
        terms: Terms,
    ) -> Result<Self, String> {
        let task = CollectionTask {
            normalisation: normalise.normalisation(),
            terms: terms.hash(),
            ..task
        };
        task.check().map_err(|error| error.to_string())?;
        if let Some(names) = &terms.classes
            && names.len() != usize::from(task.classes)
        {
            return Err(format!(
                "it has {} classes and {} names of classes",
                task.classes,
                names.len()
            ));
        }
        match &terms.contributors {
            Contributors::Anybody if terms.least_owners > 1 => {
                return Err("where anybody may contribute, owners cannot be counted".to_owned());
            }
            Contributors::Registered(owners) if !terms.enough(owners.len() as u64) => {
                return Err(format!(
                    "it names {} owners, and a list has {} at least",
                    owners.len(),
                    terms.least_owners
                ));
            }
            _ => {}
        }
        let task = TaskFile {
            id: task.id(),
            task,
            normalise,
            terms,
        };
        match task.most_bytes() {
            _ if task.terms.most_contributions == 0 => {
                Err("an upload has at least one contribution".to_owned())
            }
            bytes if bytes > MOST_BYTES => Err(format!(
                "its largest upload has {bytes} bytes, and {MOST_BYTES} are the most"
            )),
            _ => Ok(task),
        }
    }

    /// Bytes of the largest upload, without a signature.
    pub fn most_bytes(&self) -> usize {
        self.upload_len(self.terms.most_contributions)
    }

    /// Bytes of an upload of so many contributions, without a signature.
    pub fn upload_len(&self, count: u16) -> usize {
        let header = Header {
            task: self.id,
            id: UploadId([0; 16]),
            count,
        };
        header.upload_len(&self.task)
    }

    /// Reads a task.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |why: String| {
            Failure::new(
                format!("{} is no task: {}", path.display(), why.trim()),
                "get it again from whoever made it with `ringlet task new`",
            )
        };
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        TaskFile::parse(&text).map_err(wrong)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Content {
            id,
            samples,
            uploads,
            identities,
            owners,
        } = toml::from_str(text).map_err(|error| one_line(text, &error))?;
        let identity = |name: &str, text: &str| -> Result<PublicIdentity, String> {
            parse_public(text).map_err(|why| format!("the identity of {name} is damaged: {why}"))
        };
        let owner = |entry: OwnerEntry| -> Result<Owner, String> {
            let key = owner_key::parse_public(&entry.key)
                .map_err(|why| format!("the owner {} is damaged: {why}", entry.key))?;
            Ok(Owner {
                key,
                quota: entry.quota,
            })
        };
        let owners = owners
            .into_iter()
            .map(owner)
            .collect::<Result<Vec<_>, _>>()?;
        let contributors = match (uploads.open, owners.is_empty()) {
            (true, true) => Contributors::Anybody,
            (true, false) => return Err("it is open, and yet names owners".to_owned()),
            (false, _) => Contributors::registered(owners)?,
        };
        let certificate = hexadecimal::bytes(&uploads.certificate)
            .ok_or("the certificate's hash has 64 hexadecimal digits")?;
        let terms = Terms {
            classes: samples.class_names,
            address: uploads.address,
            certificate,
            deadline: parse_deadline(&uploads.deadline)?,
            least_owners: uploads.least_owners,
            most_contributions: uploads.most_contributions,
            contributors,
        };
        let normalise: MeanAndDeviation = samples.normalise.parse()?;
        let task = CollectionTask {
            input: samples.input,
            classes: samples.classes,
            normalisation: normalise.normalisation(),
            fraction: samples.fraction_bits,
            identities: [
                identity("p0", &identities.p0)?,
                identity("p1", &identities.p1)?,
                identity("dealer", &identities.dealer)?,
            ],
            terms: [0; 32],
        };
        let task = TaskFile::new(task, normalise, terms)?;
        match hexadecimal::bytes(&id) == Some(task.id.0) {
            true => Ok(task),
            false => Err(format!(
                "it was changed: its id is {id}, and what it asks for has the id {}",
                task.id_text()
            )),
        }
    }

    /// Contributions of an upload: those that `--per-upload` gives, which the task must allow, or as many as usual.
    pub fn per_upload(&self, given: Option<u16>) -> Result<u16, Failure> {
        let most = self.terms.most_contributions;
        let fit = USUAL_BYTES / self.task.contribution_len();
        match given {
            None => Ok(fit.clamp(1, most.into()) as u16),
            Some(given) if (1..=most).contains(&given) => Ok(given),
            Some(given) => Err(Failure::new(
                format!("--per-upload {given} is not from 1 to {most}, which the task allows"),
                "give another, or leave it out",
            )),
        }
    }

    /// What a device that contributes has of it in flash.
    pub fn image(&self, per_upload: Option<u16>) -> Result<TaskImage, Failure> {
        Ok(TaskImage {
            per_upload: self.per_upload(per_upload)?,
            signed: self.terms.contributors != Contributors::Anybody,
            task: self.task.clone(),
        })
    }

    /// The task's name as text.
    pub fn id_text(&self) -> String {
        hexadecimal::digits(&self.id.0)
    }

    /// The task as a file.
    pub fn text(&self) -> String {
        let TaskFile { task, terms, .. } = self;
        let [p0, p1, dealer] = task.identities.map(public_text);
        let owners = match &terms.contributors {
            Contributors::Anybody => Vec::new(),
            Contributors::Registered(owners) => owners
                .values()
                .map(|owner| OwnerEntry {
                    key: owner_key::public_text(&owner.key),
                    quota: owner.quota,
                })
                .collect(),
        };
        let content = Content {
            id: self.id_text(),
            samples: Samples {
                input: task.input,
                classes: task.classes,
                class_names: terms.classes.clone(),
                normalise: self.normalise.to_string(),
                fraction_bits: task.fraction,
            },
            uploads: Uploads {
                address: terms.address.clone(),
                certificate: hexadecimal::digits(&terms.certificate),
                deadline: deadline_text(terms.deadline),
                most_contributions: terms.most_contributions,
                least_owners: terms.least_owners,
                open: terms.contributors == Contributors::Anybody,
            },
            identities: Identities { p0, p1, dealer },
            owners,
        };
        // Numbers and texts have no form that TOML lacks.
        let text = toml::to_string(&content).unwrap_or_default();
        format!("# The task of a collection. It is public, and the same for all.\n{text}")
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use ringlet_core::data::Normalisation;

    use super::*;

    fn task(change: impl Fn(&mut Terms)) -> Result<TaskFile, String> {
        let owner = |byte| Owner {
            key: SigningKey::from_bytes(&[byte; 32]).verifying_key(),
            quota: 7,
        };
        let mut terms = Terms {
            classes: None,
            address: "leader.example:8443".to_owned(),
            certificate: [7; 32],
            deadline: 1_900_000_000,
            least_owners: 2,
            most_contributions: 64,
            contributors: Contributors::registered([owner(1), owner(2), owner(3)])?,
        };
        change(&mut terms);
        let core = CollectionTask {
            input: [2, 2, 1],
            classes: 3,
            normalisation: Normalisation::NONE,
            fraction: 12,
            identities: [1, 2, 3].map(|byte| PublicIdentity([byte; 32])),
            terms: [0; 32],
        };
        TaskFile::new(core, "0.1307:0.3081".parse()?, terms)
    }

    #[test]
    fn a_task_is_read_as_it_is_written() {
        let names =
            |terms: &mut Terms| terms.classes = Some(["a", "b", "c"].map(str::to_owned).to_vec());
        for task in [task(|_| ()), task(names)] {
            let task = task.expect("a task");
            assert_eq!(TaskFile::parse(&task.text()), Ok(task));
        }
    }

    #[test]
    fn every_term_counts_in_the_name_and_changes_are_noticed() {
        let good = task(|_| ()).expect("a task");
        let changes: [fn(&mut Terms); 7] = [
            |terms| terms.classes = Some(["a", "b", "c"].map(str::to_owned).to_vec()),
            |terms| terms.address.push('0'),
            |terms| terms.certificate[31] = 0,
            |terms| terms.deadline += 1,
            |terms| terms.least_owners = 1,
            |terms| terms.most_contributions = 63,
            |terms| {
                if let Contributors::Registered(owners) = &mut terms.contributors {
                    owners.pop_last();
                }
            },
        ];
        for change in changes {
            assert_ne!(task(change).expect("a task").id, good.id);
        }
        let text = good.text();
        for (old, new) in [
            ("quota = 7", "quota = 8"),
            ("2030", "2031"),
            ("classes = 3", "classes = 4"),
            ("least-owners = 2", "least-owners = 1"),
        ] {
            assert!(text.contains(old), "{text}");
            let changed = TaskFile::parse(&text.replacen(old, new, 1));
            assert!(
                changed.is_err_and(|why| why.contains("was changed")),
                "{new}"
            );
        }
    }

    #[test]
    fn what_cannot_be_collected_is_refused() {
        let refused = |change: fn(&mut Terms)| task(change).map(drop).expect_err("refused");
        assert!(refused(|terms| terms.most_contributions = 0).contains("at least one"));
        assert!(refused(|terms| terms.classes = Some(Vec::new())).contains("names of classes"));
        assert!(refused(|terms| terms.contributors = Contributors::Anybody).contains("counted"));
        assert!(refused(|terms| terms.least_owners = 4).contains("names 3 owners"));
    }
}
