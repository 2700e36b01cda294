"""Names of files and folders that are no input: hidden, in the making, or a storage system's own."""

from __future__ import annotations

from pathlib import Path

PARTIAL_SUFFIXES = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", "~")
OWNER_PREFIX = "~$"  # what Office keeps beside a document while somebody has it open: who that is
# Snapshots, thumbnails and wastebaskets, with copies of files: Synology, QNAP, NetApp, Windows, ext4, macOS.
SYSTEM_FOLDERS = frozenset(
    {
        *("@eadir", "@tmp", "@sharebin", "@sharesnap", "#recycle", "#snapshot"),
        *("@recycle", "@recently-snapshot", "@transcode"),
        *("~snapshot", "system volume information", "$recycle.bin", "recycler", "lost+found", "__macosx"),
    }
)


def is_ignored(name: str) -> bool:
    """Is this the name of a hidden file, of one in the making, or of an owner's mark?"""
    return name.startswith((".", OWNER_PREFIX)) or name.lower().endswith(PARTIAL_SUFFIXES)


def is_ignored_folder(name: str) -> bool:
    """Is this the name of a hidden folder, or of one that a storage system keeps for itself?"""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS


def is_left_alone(name: str) -> bool:
    """Is this the name of a file or a folder that is no input?"""
    return is_ignored(name) or is_ignored_folder(name)


def is_in_ignored_folder(path: Path, root: Path) -> bool:
    """Is one of the folders between `root` and `path` left alone? Those above `root` are not asked."""
    return any(is_ignored_folder(name) for name in path.relative_to(root).parts[:-1])


def ignored_because(path: Path, root: Path) -> str | None:
    """Why `path` below `root` is left alone in silence; None when it is not."""
    for name in path.relative_to(root).parts[:-1]:
        if is_ignored_folder(name):
            return f"it is in the folder {name}, which is left alone"
    if path.name.startswith("."):
        return "its name begins with a dot: hidden files are left alone"
    if path.name.startswith(OWNER_PREFIX):
        return f"its name begins with {OWNER_PREFIX}: Office keeps such files beside one that somebody has open"
    if is_ignored(path.name):
        return f"its name ends as that of a file in the making ({', '.join(PARTIAL_SUFFIXES)})"
    return None
