"""Text with two or four bytes a character is known by its zeros, unless it would be none in what they say."""

from __future__ import annotations

import io

import pytest

from ingestion.formats.encoding import Text, wide_encoding

WIDE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")


@pytest.mark.parametrize("codec", WIDE)
@pytest.mark.parametrize("text", ['"0","","ĀĀĀ"\n', "Ā" * 40, "a,b\n1,Ȁ\n", "id,name\n1,x\n", "一二,三\n"])
def test_what_the_yaml_says_is_believed_where_it_reads_as_text(codec: str, text: str) -> None:
    assert Text(io.BytesIO(text.encode(codec)), codec).read(10_000).decode() == text


@pytest.mark.parametrize("codec", WIDE)
@pytest.mark.parametrize("text", ["id,name\n1,x\n", "id\tname\r\n1\tx\0y\r\n"])
def test_plain_text_is_known_by_its_zeros(codec: str, text: str) -> None:
    assert wide_encoding(text.encode(codec)) == codec
