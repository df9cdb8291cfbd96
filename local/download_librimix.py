"""The published metadata of LibriMix (MIT, JorisCos/LibriMix), each file pinned by its git blob."""

from pathlib import Path

from separation.download.fetch import download as download_file
from separation.download.fetch import hash_git_blob
from separation.errors import UserError

COMMIT = "b898ca375c03e4039cdb3dbe3dd485aad58ec7d1"
BASE_URL = f"https://raw.githubusercontent.com/JorisCos/LibriMix/{COMMIT}"

# Path in the repository -> (git blob, bytes; 0 where unknown).
BLOBS: dict[str, tuple[str, int]] = {
    "metadata/Libri2Mix/libri2mix_dev-clean.csv": (
        "6d8f1058b9235f4606f591ad8dc7632b7e71a390",
        648265,
    ),
    "metadata/Libri2Mix/libri2mix_dev-clean_info.csv": (
        "16b0f745fad1536d6306e37727702c3dcc43975d",
        151577,
    ),
    "metadata/Libri2Mix/libri2mix_test-clean.csv": (
        "ea28bb09d4f64e48bccb3649eec25091bd3d49ce",
        646465,
    ),
    "metadata/Libri2Mix/libri2mix_test-clean_info.csv": (
        "b3040dd8fd667c62bc46cd625dc117e9fe469248",
        148655,
    ),
    "metadata/Libri2Mix/libri2mix_train-clean-100.csv": (
        "393234e6c9035dac4b83cd973fbb92da06ad0999",
        3152141,
    ),
    "metadata/Libri2Mix/libri2mix_train-clean-100_info.csv": (
        "adcb77d115a3d80f324974c3e3f492b247572c2b",
        693657,
    ),
    "metadata/Libri2Mix/libri2mix_train-clean-360.csv": (
        "6190d44fad70a6890237323b3d3e0a97325eaf3a",
        0,
    ),
    "metadata/Libri2Mix/libri2mix_train-clean-360_info.csv": (
        "2e6efe800f2132d3286b6ffa1e82bb53eea53361",
        2555313,
    ),
    "metadata/Libri3Mix/libri3mix_dev-clean.csv": (
        "0774a4f7afcbc43bda31ea297ab0b0c2d40f64fb",
        883079,
    ),
    "metadata/Libri3Mix/libri3mix_dev-clean_info.csv": (
        "35070bf462b230210b87468ef8ef6b97b8e14bbe",
        227329,
    ),
    "metadata/Libri3Mix/libri3mix_test-clean.csv": (
        "49ecb6faa8d8a1d9d0f982647f90432f388ef4d6",
        880457,
    ),
    "metadata/Libri3Mix/libri3mix_test-clean_info.csv": (
        "18d63c223b56fa869fc5925b830ac933e931432d",
        222871,
    ),
    "metadata/Libri3Mix/libri3mix_train-clean-100.csv": (
        "26799c5facabbeb08f8a88b4faa3435a52acfb66",
        2887602,
    ),
    "metadata/Libri3Mix/libri3mix_train-clean-100_info.csv": (
        "159ce8cded9d4cc1cd112fe06171751443d2bde6",
        696183,
    ),
    "metadata/Libri3Mix/libri3mix_train-clean-360.csv": (
        "547999833756e1689b9c1943c3c13a3fe138bcf8",
        0,
    ),
    "metadata/Libri3Mix/libri3mix_train-clean-360_info.csv": (
        "567850311352b0191ae594aca48b9ad182374924",
        2557870,
    ),
    "metadata/LibriSpeech/dev-clean.csv": ("084275235850436a998ebc6594687985853db19a", 152552),
    "metadata/LibriSpeech/test-clean.csv": ("a89034b282b561eb509f3cc9d87255c3b6afbf5e", 150260),
    "metadata/LibriSpeech/train-clean-100.csv": (
        "564bf6143c51ab042d7f9da60a73bbf3f0b570c0",
        2182835,
    ),
    "metadata/LibriSpeech/train-clean-360.csv": ("ec07e18f18364b8b0b2782a872dd735546f3e326", 0),
    "metadata/Wham_noise/dev.csv": ("e37bbc67eace2443c48363767c035e811b480ed3", 471577),
    "metadata/Wham_noise/test.csv": ("c18e4f047f7def9b35e00e787bd14df7273ad0ec", 283036),
    "metadata/Wham_noise/train.csv": ("2ab26dd588d2440750ca291d678911c8b8c4310d", 0),
}


def download(folder: Path, n_src: int, subsets: list[str], base_url: str = BASE_URL) -> Path:
    """Fetch the mixture tables and ``_info`` tables of these subsets; returns ``folder``.

    Args:
        folder: gets ``metadata/Libri<n_src>Mix/libri<n_src>mix_<subset>.csv`` and ``_info.csv``.
        n_src: 2 or 3 sources.
        subsets: LibriSpeech's names, such as ``train-clean-100``.
        base_url: where ``metadata/`` lies.

    Raises:
        UserError: no such table is published, or the download failed.
    """
    stems = [f"metadata/Libri{n_src}Mix/libri{n_src}mix_{subset}" for subset in subsets]
    names = [f"{stem}{ending}" for stem in stems for ending in (".csv", "_info.csv")]
    for name in names:
        if name not in BLOBS:
            known = ", ".join(Path(path).name for path in BLOBS if "Mix/" in path)
            raise UserError(f"LibriMix publishes no {name}; its tables are {known}.")
    for name in names:
        git_blob, size = BLOBS[name]
        download_file(f"{base_url}/{name}", folder / name, git_blob=git_blob, size=size)
    return folder


def is_published(path: Path) -> bool:
    """Whether ``path`` is, byte by byte, the published table of its name.

    Raises:
        FileNotFoundError: no such file.
    """
    blobs = {Path(name).name: git_blob for name, (git_blob, _) in BLOBS.items()}
    return hash_git_blob(path) == blobs.get(path.name)
