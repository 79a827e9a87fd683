"""``taut data``: what is known, where it is looked for, how to get it; nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from taut.core.errors import BadInput
from taut.tasks.data import cache_folder, describe_data, find_data


@pytest.fixture(autouse=True)
def _empty_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAUT_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_cache_is_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / "cache" / "taut"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "taut"


def test_description_names_layout_places_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "cache" / "taut" / "cifar10").mkdir(parents=True)
    text = describe_data("cifar10")
    lines = text.splitlines()
    assert f"  missing {tmp_path / 'given' / 'cifar10'}" in lines
    assert f"  here    {tmp_path / 'cache' / 'taut' / 'cifar10'}" in lines
    assert "data_batch_1.bin" in text and "cifar-10-binary.tar.gz" in text


def test_description_of_all_includes_what_packages_bring() -> None:
    text = describe_data()
    assert "digits" in text and "cifar10" in text
    assert describe_data("digits").startswith("digits:")


def test_unknown_data_set_is_refused_with_the_known() -> None:
    with pytest.raises(BadInput, match="data set 'imagenet': is not known; one of: digits, cifar10"):
        describe_data("imagenet")


def test_given_folder_comes_before_the_cache(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="taut data cifar10"):
        find_data("cifar10")
    cached, given = tmp_path / "cache" / "taut" / "cifar10", tmp_path / "given" / "cifar10_jpeg"
    cached.mkdir(parents=True)
    assert find_data("cifar10") == cached
    given.mkdir(parents=True)
    assert find_data("cifar10") == given
