"""Where each public data set is to be had, under which licence, and what its archive hashes to.

Their licences forbid handing them on, so nothing is downloaded here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Source:
    """One data set. `hash_ends` are the known first and last digits of its archive's hash."""

    layout: str
    title: str
    where: str
    licence: str
    archive: str | None = None
    algorithm: str = "sha256"
    hash_ends: tuple[str, str] | None = None

    def fits(self, digest: str) -> bool:
        """Whether a hash is this archive's, as far as its digits are known."""
        if self.hash_ends is None:
            return False
        return digest.startswith(self.hash_ends[0]) and digest.endswith(self.hash_ends[1])

    @property
    def num_known_digits(self) -> int:
        """Digits of the hash that can be compared."""
        return len("".join(self.hash_ends or ()))


NON_COMMERCIAL = "CC BY-NC-SA 4.0"

SOURCES = (
    Source(
        layout="mvtec",
        title="MVTec AD",
        where="mvtec.com, research, datasets",
        licence=NON_COMMERCIAL,
        archive="mvtec_anomaly_detection.tar.xz",
        hash_ends=("cf4313b1", "98cd3d"),
    ),
    Source(
        layout="mvtec_ad2",
        title="MVTec AD 2",
        where="mvtec.com, research, datasets",
        licence=NON_COMMERCIAL,
        archive="mvtec_ad_2.tar.gz",
        hash_ends=("c0ded99e", "763505e4"),
    ),
    Source(
        layout="mvtec_loco",
        title="MVTec LOCO AD",
        where="mvtec.com, research, datasets",
        licence=NON_COMMERCIAL,
        archive="mvtec_loco_anomaly_detection.tar.xz",
        hash_ends=("9e7c84db", "63aae687"),
    ),
    Source(
        layout="visa",
        title="VisA",
        where="the authors' repository, amazon-science/spot-diff",
        licence="CC BY 4.0",
        archive="VisA_20220922.tar",
        hash_ends=("2eb8690c", "73f40f362"),
    ),
    Source(
        layout="btad",
        title="BTAD",
        where="linked from the paper's repository, pankajmishra000/VT-ADL",
        licence=f"{NON_COMMERCIAL}, as others state it",
        archive="btad.zip",
        hash_ends=("461c9387", "30b10d2a"),
    ),
    Source(
        layout="mpdd",
        title="MPDD",
        where="linked from the authors' repository, stepanje/MPDD",
        licence=NON_COMMERCIAL,
        archive="MPDD.zip",
    ),
    Source(
        layout="kolektor",
        title="KolektorSDD",
        where="vicos.si, resources",
        licence=NON_COMMERCIAL,
        archive="KolektorSDD.zip",
        hash_ends=("65dc6216", "8f9d4dc"),
    ),
    Source(
        layout="kolektor2",
        title="KolektorSDD2",
        where="vicos.si, resources",
        licence=NON_COMMERCIAL,
        archive="KolektorSDD2.zip",
        algorithm="md5",
        hash_ends=("1ed0f628122776ac", "e4965afa30dfe316"),
    ),
    Source(
        layout="magnetic_tile",
        title="Magnetic tiles",
        where="the authors' repository, abin24/Magnetic-tile-defect-datasets.",
        licence="none stated; the authors welcome its use and ask to be cited",
    ),
    Source(
        layout="real_iad",
        title="Real-IAD",
        where="realiad4ad.github.io, on request",
        licence=NON_COMMERCIAL,
    ),
)
