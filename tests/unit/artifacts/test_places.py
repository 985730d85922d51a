"""Only what lies in an allowed store has an address; nothing that is shown has a secret."""

import os

import pytest

from hotswap.artifacts.places import address_of, follow_links, hide_secrets, without_secrets, without_user
from hotswap.errors import SwapError

STORES = (
    "file:///srv/store",
    "s3://models/eu",
    "https://Host.example/models/",
    "ftp://anna:sesame@ftp.example/pub",
    "abfs://models@account.dfs/x",
    "memory://models",
    "https://sas.example/m?sig=secret",
    "simplecache::s3://chained",
)

INSIDE = {
    "file:///srv/store/a/m.zip": "file:///srv/store/a/m.zip",
    "file:///srv/store": "file:///srv/store",
    "FILE:///srv/store/m.zip": "file:///srv/store/m.zip",
    "file:/srv/store/m.zip": "file:///srv/store/m.zip",
    "/srv/store/m.zip": "file:///srv/store/m.zip",
    "file:///srv/store/m%20%28é%29.zip": "file:///srv/store/m (é).zip",
    "file:///srv/stor%65/m.zip": "file:///srv/store/m.zip",
    "file:///srv/store/what?.zip": "file:///srv/store/what?.zip",
    "s3://models/eu/m.zip": "s3://models/eu/m.zip",
    "s3://models/eu/..m/m...zip": "s3://models/eu/..m/m...zip",
    "s3://models/eu//m.zip": "s3://models/eu//m.zip",
    "HTTPS://host.EXAMPLE/models/m.zip": "https://Host.example/models/m.zip",
    "https://host.example/models/m.zip?X-Amz-Credential=AKIA%2F2026%2Feu": (
        "https://Host.example/models/m.zip?X-Amz-Credential=AKIA%2F2026%2Feu"
    ),
    "ftp://ftp.example/pub/m.zip": "ftp://anna:sesame@ftp.example/pub/m.zip",
    "ftp://anna:sesame@ftp.example/pub/m.zip": "ftp://anna:sesame@ftp.example/pub/m.zip",
    "abfs://models@account.dfs/x/m.zip": "abfs://models@account.dfs/x/m.zip",
    "memory://models/m.zip": "memory://models/m.zip",
}

OUTSIDE = (
    # other places
    "file:///etc/passwd",
    "file:///srv/store2/m.zip",
    "file:///srv/STORE/m.zip",
    "file:///srv",
    "/etc/passwd",
    "//srv/store/m.zip",
    "srv/store/m.zip",
    "~/m.zip",
    "~root/m.zip",
    "file://~/m.zip",
    "file:m.zip",
    "file:srv/store/m.zip",
    "file:~/m.zip",
    "file://localhost/srv/store/m.zip",
    "file://srv/store/m.zip",
    "file:////srv/store/m.zip",
    "local:///srv/store/m.zip",
    "local:/etc/passwd",
    "s3://models/m.zip",
    "s3://models/europe/m.zip",
    "s3://other/eu/m.zip",
    "s3a://models/eu/m.zip",
    "memory://other/m.zip",
    "memory:///m.zip",
    "webhdfs://host.example/models/m.zip",
    "sftp://host.example/models/m.zip",
    "smb://host.example/models/m.zip",
    "github://org:repo@main/m.zip",
    "data:application/zip;base64,UEsFBgAA",
    "dir::file:///etc",
    "",
    "m.zip",
    "://",
    # ways up
    "file:///srv/store/../../etc/passwd",
    "file:///srv/store/a/..",
    "file:///srv/store/./m.zip",
    "file:///srv/store/%2e%2e/%2e%2e/etc/passwd",
    "file:///srv/store/%2E%2e%2fetc/passwd",
    "file:///srv/store/%252e%252e/etc/passwd",
    "file:///srv/store/..%5c..%5cetc%5cpasswd",
    "file:///srv/store/a\\..\\..\\etc\\passwd",
    "file:///srv/store/m.zip?/../../../etc/passwd",
    "file:///srv/store/m%00.zip",
    "file:///srv/store/m\n.zip",
    "file:///../srv/store/m.zip",
    "https://host.example/models/../secret",
    "https://host.example/models/..;/secret",
    "https://host.example/models/%2e%2e;a=b/secret",
    "https://host.example/models/.%2e/secret",
    "https://host.example/models/%c0%ae%c0%ae/secret",
    "https://host.example/models/\uff0e\uff0e/secret",
    "https://host.example/models/%ef%bc%8e%ef%bc%8e/secret",
    "https://host.example/models/.. /secret",
    "https://host.example/models/%25252e%25252e/secret",
    # other hosts, and those that two readers find in different parts of the URL
    "http://host.example/models/m.zip",
    "https://host.example:8443/models/m.zip",
    "https://host.example:443/models/m.zip",
    "https://host.example./models/m.zip",
    "https://host.example.evil.example/models/m.zip",
    "https://evil.example/models/m.zip",
    "https://127.0.0.1/models/m.zip",
    "https://[::1]/models/m.zip",
    "https://host.example@evil.example/models/m.zip",
    "https://host.example:443@evil.example/models/m.zip",
    "https://evil.example#@host.example/models/m.zip",
    "https://evil.example?@host.example/models/m.zip",
    "https://evil.example\\@host.example/models/m.zip",
    "https://evil.example/@host.example/models/m.zip",
    "https:host.example/models/m.zip",
    "https:/host.example/models/m.zip",
    "https:///host.example/models/m.zip",
    "https:\\\\host.example\\models\\m.zip",
    " https://host.example/models/m.zip",
    "https://host.example\t/models/m.zip",
    "https://me@host.example/models/m.zip",
    "ftp://bob:sesame@ftp.example/pub/m.zip",
    "ftp://anna@ftp.example/pub/m.zip",
    "abfs://secret@account.dfs/x/m.zip",
    "abfs://secret@models/x/m.zip",
    "https://sas.example/m/x.zip",
    "https://sas.example/m?sig=secret",
    # chains
    "simplecache::file:///srv/store/m.zip",
    "simplecache::https://evil.example/m.zip",
    "simplecache::s3://chained/m.zip",
    "filecache::ftp://evil.example/m.zip",
    "blockcache::https://host.example/models/m.zip",
    "zip://m.zip::file:///etc/a.zip",
    "zip://m.zip::file:///srv/store/a.zip",
    "tar://m.zip::https://evil.example/a.tar",
    "reference://m.zip::file:///etc/refs.json",
    "file:///srv/store/m.zip::https://evil.example/m.zip",
    "https://host.example/models/m.zip::file:///etc/passwd",
    "file::https://evil.example/m.zip",
)


@pytest.mark.parametrize(("uri", "address"), INSIDE.items())
def test_what_lies_in_an_allowed_store_is_opened_there(uri, address):
    assert address_of(uri, STORES) == address


@pytest.mark.parametrize("uri", OUTSIDE)
def test_what_lies_outside_or_could_lead_out_has_no_address_and_the_error_names_the_setting(uri):
    with pytest.raises(SwapError, match="HOTSWAP_ALLOWED_STORES") as denied:
        address_of(uri, STORES)
    assert denied.value.code == "URI_DENIED"
    assert "sesame" not in denied.value.message
    assert "sig=" not in denied.value.message


def test_a_chain_is_called_one_even_if_it_is_a_store():
    with pytest.raises(SwapError, match="is a chain of file systems"):
        address_of("simplecache::s3://chained/m.zip", STORES)


def test_a_store_at_the_root_of_its_host_has_all_of_that_host_and_no_other():
    assert address_of("https://h/m.zip", ("https://h",)) == "https://h/m.zip"
    assert address_of("file:///etc/m.zip", ("file:///",)) == "file:///etc/m.zip"
    for uri in ("https://h.evil/m.zip", "https://h\\.evil/m.zip", "https://hm.zip"):
        with pytest.raises(SwapError):
            address_of(uri, ("https://h",))


def test_a_path_that_is_encoded_over_and_over_again_is_refused_and_not_decoded_for_ever():
    with pytest.raises(SwapError):
        address_of("s3://models/eu/%" + "25" * 100_000, STORES)


def test_a_link_may_lead_to_where_an_allowed_store_is_and_nowhere_else(tmp_path):
    store, other, outside = (tmp_path / name for name in ("store", "other", "store-outside"))
    for folder in (store, other, outside):
        folder.mkdir()
        (folder / "m.zip").touch()
    (store / "within").symlink_to(store / "m.zip")
    (store / "across").symlink_to(other, target_is_directory=True)
    (store / "out").symlink_to(outside, target_is_directory=True)
    (store / "dangling").symlink_to(outside / "nothing.zip")
    (tmp_path / "name").symlink_to(store, target_is_directory=True)
    stores = ((tmp_path / "name").as_uri(), other.as_uri(), "https://host")
    assert follow_links(str(tmp_path / "name/within"), stores) == str(store / "m.zip")
    assert follow_links(str(tmp_path / "name/across/m.zip"), stores) == str(other / "m.zip")
    for name in ("out/m.zip", "out", "out/nothing.zip", "dangling"):
        with pytest.raises(SwapError, match="leads by a link out of") as denied:
            follow_links(os.fspath(tmp_path / "name" / name), stores)
        assert denied.value.code == "URI_DENIED"
        assert str(outside) not in denied.value.message


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("s3://models/m.zip", "s3://models/m.zip"),
        ("ftp://anna:sesame@host/m.zip", "ftp://host/m.zip"),
        ("ftp://anna:se@same@host/m.zip", "ftp://host/m.zip"),
        ("ftp://anna:se/same@host/m.zip", "ftp://…"),
        ("ftp://anna:se?same@host/m.zip", "ftp://…"),
        ("ftp://anna:se#same@host/m.zip", "ftp://…"),
        ("ftp://anna:se::same@host/m.zip", "ftp://…"),
        ("simplecache::ftp://anna:sesame@host/m.zip", "simplecache://…"),
        ("zip://m.zip::ftp://anna:sesame@host/a.zip", "zip://…"),
        ("simplecache::s3://models/m.zip", "simplecache::s3://models/m.zip"),
        ("anna:sesame@host/m.zip", "host/m.zip"),
        ("ftp:anna:sesame@host", "host"),
        ("anna:sesame@x://host", "anna://…"),
        ("https://host/m.zip?sig=sesame", "https://host/m.zip"),
        ("https://host/m.zip?to=a@b&sig=sesame", "https://host/m.zip"),
        ("https://host?sig=sesame", "https://host"),
        ("https://host/m.zip#sesame", "https://host/m.zip"),
        ("s3://models/a@b/m.zip", "s3://models/a@b/m.zip"),
        ("/srv/m.zip", "/srv/m.zip"),
    ],
)
def test_a_uri_is_shown_without_user_info_and_query(uri, shown):
    assert without_secrets(uri) == shown


def test_a_library_s_message_is_shown_without_the_secrets_of_the_address():
    address = "ftp://anna:se%2Bsame@host/m.zip?sig=x1"
    said = (
        f"550 {address}: login of anna with se+same (se%2Bsame) failed; see <http://anna:se+same@host:80/m?sig=x1>, "
        "seesame, url: /m.zip?sig=x1"
    )
    shown = hide_secrets(said, address)
    assert shown == (
        "550 ftp://host/m.zip: login of anna with … (…) failed; see <http://host:80/m seesame, url: /m.zip"
    )
    assert hide_secrets("No such file", "s3://models/m.zip") == "No such file"
    assert hide_secrets("a b", "no url") == "a b"


def test_a_store_s_url_is_published_without_its_user_info():
    assert without_user("ftp://anna:sesame@host/pub") == "ftp://host/pub"
    assert without_user("file:///srv/a%40b") == "file:///srv/a%40b"
    assert without_user("s3://models") == "s3://models"
