//! The seals of an upload's seeds: HPKE (RFC 9180) in base mode to the identity of a role.

use core::convert::Infallible;

use hpke::{
    Deserializable, OpModeR, OpModeS, Serializable,
    aead::{AeadTag, ChaCha20Poly1305},
    inout::InOutBuf,
    kdf::HkdfSha256,
    kem::{Kem, X25519HkdfSha256},
    rand_core::{TryCryptoRng, TryRng},
    single_shot_open_inout_detached, single_shot_seal_inout_detached_with_rng,
};

use crate::{
    net::secure::{Identity, Prologue, PublicIdentity},
    prg::{Address, Key, Prg},
};

use super::{UploadError, UploadId};

/// Bytes of an encapsulated key, and of a tag.
const ENCAPSULATED_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// Bytes of the seal of one seed, to a party.
pub const PARTY_SEAL_LEN: usize = ENCAPSULATED_LEN + Key::LEN + TAG_LEN;
/// Bytes of the seal of both seeds, to the dealer.
pub const DEALER_SEAL_LEN: usize = ENCAPSULATED_LEN + 2 * Key::LEN + TAG_LEN;

/// What the seals are for, which HPKE binds.
const INFO: &[u8] = b"ringlet contribution 1";

/// A value that says which seed a role has for an upload without telling the seed. Roles compare them: an owner that seals
/// different seeds to a party and to the dealer would spoil a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment(pub [u8; 16]);

impl Commitment {
    /// The commitment to a seed of an upload.
    pub fn new(upload: UploadId, seed: &Key) -> Self {
        let mut hash = Prologue::new("ringlet seed");
        hash.add(&upload.0);
        hash.add(seed.reveal());
        let mut commitment = [0; 16];
        commitment.copy_from_slice(&hash.hash()[..16]);
        Commitment(commitment)
    }
}

/// A generator whose numbers are a stream of a key that serves nothing else.
struct Stream {
    prg: Prg,
    address: Address,
    next: u64,
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.prg.fill(self.address, self.next, bytes);
        self.next += bytes.len() as u64;
        Ok(())
    }
}

impl TryCryptoRng for Stream {}

/// Seals `N` bytes to an identity, into `out`, bound to `hash`. The ephemeral key comes from stream `number` of `secret`.
///
/// Fails with [`UploadError::Identity`] if nothing can be sealed to that identity.
pub(super) fn seal<const N: usize>(
    (secret, number): (&Key, u32),
    to: &PublicIdentity,
    seeds: &[u8; N],
    hash: &[u8; 32],
    out: &mut [u8],
) -> Result<(), UploadError> {
    let mut stream = Stream {
        prg: Prg::new(secret.clone()),
        address: Address {
            iteration: number,
            gate: 0,
            wire: 0,
        },
        next: 0,
    };
    let refused = |_| UploadError::Identity;
    let to = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&to.0).map_err(refused)?;
    let (encapsulated, rest) = out.split_at_mut(ENCAPSULATED_LEN);
    let (sealed, tag) = rest.split_at_mut(N);
    sealed.copy_from_slice(seeds);
    let (key, sealed_tag) =
        single_shot_seal_inout_detached_with_rng::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &to,
            INFO,
            InOutBuf::from(sealed),
            hash,
            &mut stream,
        )
        .map_err(refused)?;
    encapsulated.copy_from_slice(&key.to_bytes());
    tag.copy_from_slice(&sealed_tag.to_bytes());
    Ok(())
}

/// Opens a seal of `N` bytes.
fn open<const N: usize>(
    identity: &Identity,
    hash: &[u8; 32],
    seal: &[u8],
) -> Result<zeroize::Zeroizing<[u8; N]>, UploadError> {
    let refused = |_| UploadError::Seal;
    if seal.len() != ENCAPSULATED_LEN + N + TAG_LEN {
        return Err(UploadError::Seal);
    }
    let (encapsulated, rest) = seal.split_at(ENCAPSULATED_LEN);
    let (sealed, tag) = rest.split_at(N);
    let mut seeds = zeroize::Zeroizing::new([0; N]);
    seeds.copy_from_slice(sealed);
    let secret = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(identity.secret().reveal());
    let key = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).map_err(refused)?;
    let tag = AeadTag::<ChaCha20Poly1305>::from_bytes(tag).map_err(refused)?;
    single_shot_open_inout_detached::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &secret.map_err(refused)?,
        &key,
        INFO,
        InOutBuf::from(&mut seeds[..]),
        hash,
        &tag,
    )
    .map_err(refused)?;
    Ok(seeds)
}

/// The seed that an upload with this hash seals to a party. Fails with [`UploadError::Seal`] if it is sealed to somebody else, or
/// if anything of the upload was changed.
pub fn open_party_seal(
    identity: &Identity,
    hash: &[u8; 32],
    seal: &[u8],
) -> Result<Key, UploadError> {
    let seed = open::<{ Key::LEN }>(identity, hash, seal)?;
    Ok(Key::new(*seed))
}

/// The seeds of P0 and P1 that an upload with this hash seals to the dealer. Fails as [`open_party_seal`] does.
pub fn open_dealer_seal(
    identity: &Identity,
    hash: &[u8; 32],
    seal: &[u8],
) -> Result<[Key; 2], UploadError> {
    let seeds = open::<{ 2 * Key::LEN }>(identity, hash, seal)?;
    Ok([0, 1].map(|party| {
        let Ok(key) = Key::filled(|bytes| {
            bytes.copy_from_slice(&seeds[party * Key::LEN..][..Key::LEN]);
            Ok::<_, Infallible>(())
        });
        key
    }))
}
