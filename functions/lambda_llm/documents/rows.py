"""Rows of the result: what both targets are written from."""

from dataclasses import dataclass, field

from lambda_llm.documents.errors import ExportError
from lambda_llm.documents.places import Place
from lambda_llm.documents.vectors import Vector


@dataclass
class Rows:
    """Rows, column by column.

    Attributes:
        source: `s3://` prefix of the documents, with a slash at its end.
        dimension: of every vector; 0: as the first one has it.
        places: of the chunks.
        texts: of them.
        models: that made the vectors.
        numbers: of the vectors, one behind the other: little-endian 32-bit floats.
    """

    source: str
    dimension: int = 0
    places: list[Place] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    numbers: bytearray = field(default_factory=bytearray)
    _characters: int = 0

    def __len__(self) -> int:
        return len(self.places)

    @property
    def size(self) -> int:
        """About the bytes that the texts and vectors have."""
        return len(self.numbers) + self._characters

    def add(self, place: Place, text: str, vector: Vector) -> None:
        """Add a row.

        Raises:
            ExportError: its vector has another dimension.
        """
        self.dimension = self.dimension or vector.dimension
        if vector.dimension != self.dimension:
            raise ExportError(
                f"The vector of {place.custom_id} has {vector.dimension} numbers, and those before it "
                f"{self.dimension}: one batch must have one model and one dimension; start a new run."
            )
        self.places.append(place)
        self.texts.append(text)
        self.models.append(vector.model)
        self.numbers += vector.numbers
        self._characters += len(text)

    def document(self, place: Place) -> str:
        """Address of a place's document."""
        return self.source + place.document
