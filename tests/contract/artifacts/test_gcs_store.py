"""A store on Google's, before a server that answers as a test says: a redirect is not followed."""

import gc

import pytest

from fakes.web_stores import running
from hotswap.artifacts.transfer import find, read
from hotswap.errors import SwapError

STORE = "gs://models/churn"


@pytest.mark.s3
@pytest.mark.filterwarnings("ignore")  # those of a library at its import
@pytest.mark.parametrize("reading", [find, lambda uri, stores: list(read(uri, stores))])
def test_a_redirect_is_not_followed(monkeypatch, reading):
    with running() as server, running() as elsewhere:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setenv("FSSPEC_GCS_TOKEN", "anon")
        monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # asks by gRPC, for a minute
        away = 302, {"Location": f"{elsewhere.url}/m.zip", "Content-Length": "0"}, []
        server.answers["/storage/v1/b/models/o/churn%2Fm.zip"] = away
        with pytest.raises(SwapError) as denied:
            reading(f"{STORE}/m.zip", [STORE])
        assert denied.value.code == "URI_DENIED"
        assert f"{STORE}/m.zip is redirected: redirects are not followed here" in denied.value.message
        assert server.asked != []
        assert elsewhere.asked == []
    gc.collect()  # its session, while its warnings are left alone
