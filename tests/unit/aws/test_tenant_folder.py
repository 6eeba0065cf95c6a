"""Folders of tenants."""

import re

from lambda_llm.aws.tenant_folder import tenant_folder

NAMES = ["", "a", "ab", "a/", "../a", "A", "ä", "a\u0308", "#", "x" * 5000, "tenant:a"]


def test_every_tenant_has_a_folder_and_none_is_within_another() -> None:
    folders = {name: tenant_folder(name) for name in NAMES}
    assert all(re.fullmatch("[0-9a-f]{64}/", each) for each in folders.values())
    assert len(set(folders.values())) == len(NAMES)
    assert tenant_folder("acme") == "cef41eed96b2cb03f04f8adef1c9def6bca304e15938aed6320ae022aa3f2ba4/", "it is stored"
