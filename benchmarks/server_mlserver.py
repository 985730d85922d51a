"""The function of a benchmark as a custom runtime of MLServer: `implementation` server_mlserver.Function."""

from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri
from python_libraries import scorer_of


class Function(MLModel):  # type: ignore[misc]
    """A model of kind python, loaded once."""

    async def load(self) -> bool:
        """Read the function."""
        self._score = scorer_of("python", Path(await get_model_uri(self.settings)))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return the scores of rows."""
        scores = self._score(NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("predict", scores)])
