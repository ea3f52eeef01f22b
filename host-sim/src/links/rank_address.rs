//! Addresses of the ranks of a role that are processes, each with one of its own.

use ringlet_core::session::Rank;

use crate::error::Failure;

/// What stands for the number of the rank in an address.
pub const RANK: &str = "{rank}";

/// The address of a rank, given that of its role: with the rank's number in the place of [`RANK`], or else with the port that
/// is higher by this number.
pub fn rank_address(address: &str, rank: Rank) -> Result<String, Failure> {
    let index = rank.index();
    if address.contains(RANK) {
        return Ok(address.replace(RANK, &index.to_string()));
    }
    if rank.count() == 1 {
        return Ok(address.to_owned());
    }
    let ports = || {
        let (host, port) = address.rsplit_once(':')?;
        let first: u16 = port.parse().ok()?;
        // All ranks need a port that the others know.
        first.checked_add(rank.count() - 1).filter(|_| first > 0)?;
        Some(format!("{host}:{}", first + index))
    };
    ports().ok_or_else(|| {
        Failure::new(
            format!(
                "{address} has no ports for {} ranks, from its own port on",
                rank.count()
            ),
            format!("give host:port, or a {RANK} in the address"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rank_has_its_address() {
        let at = |address, index, count| {
            let rank = Rank::new(index, count).expect("a rank");
            rank_address(address, rank).map_err(|failure| failure.to_string())
        };
        let pod = "p0-{rank}.p0:7000";
        assert_eq!(at(pod, 0, 1).as_deref(), Ok("p0-0.p0:7000"));
        assert_eq!(at(pod, 13, 16).as_deref(), Ok("p0-13.p0:7000"));
        assert_eq!(at("[::1]:7000", 3, 4).as_deref(), Ok("[::1]:7003"));
        assert_eq!(at("host:0", 0, 1).as_deref(), Ok("host:0"));
        assert_eq!(at("serial:/dev/x", 0, 1).as_deref(), Ok("serial:/dev/x"));
        for (address, count) in [("host:0", 2), ("host:65535", 2), ("host", 2)] {
            let line = at(address, 0, count).expect_err("no such ports");
            assert!(line.starts_with(address), "{line}");
        }
    }
}
