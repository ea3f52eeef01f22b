//! Collections: a leader (P0) takes uploads of masked samples from many owners, and keeps them with a helper (P1) and the dealer.
//!
//! The leader passes an upload to the helper, and to the dealer its hash and the dealer's seal alone. Each role opens its own seal.
//! The dealer says by commitments which seeds it has, and an upload counts only if the others have the same. What is acknowledged
//! is on the disks of all three. The leader's store is what counts: what another has beyond it is taken up when the owner sends
//! the upload again, as an owner does that was not answered.
//!
//! - [`refusal`]: why an upload is not taken.
//! - [`store`]: what a role keeps, in one file.
//! - [`lists`]: the uploads of a training.
//! - [`certificate`]: the leader's certificate, and TLS that pins it.
//! - [`signature`]: the signature of an upload.
//! - [`messages`]: what the leader asks the others.
//! - [`link`](mod@link): the secure links between them.
//! - [`export`]: what a training reads.
//! - [`follower`]: helper and dealer.
//! - [`followers`]: the leader's links to them.
//! - [`leader`]: groups of uploads, lists and withdrawals.
//! - [`metrics`]: what the leader counts.
//! - [`intake`]: what the leader checks of an upload before it passes it on.
//! - [`http`]: uploads by HTTPS.
//! - [`stop`]: how the user ends a role.
//! - [`control`]: how a command asks a role that runs.
//! - [`owner_link`]: an owner's connection to the leader.
//! - [`posting`]: requests that are made again while the leader is away.
//! - [`serving`]: a role from its start to its end.
//! - [`sending`]: an owner's run, which can be resumed.

pub mod certificate;
pub mod control;
pub mod export;
pub mod follower;
pub mod followers;
pub mod http;
pub mod intake;
pub mod leader;
pub mod link;
pub mod lists;
pub mod messages;
pub mod metrics;
pub mod owner_link;
pub mod posting;
pub mod refusal;
pub mod sending;
pub mod serving;
pub mod signature;
pub mod stop;
pub mod store;
