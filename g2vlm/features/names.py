"""Names of the encoders that come with packages; every other name is a folder of a model."""

MOBILENET = "mobilenet_v2"
MINILM = "minilm"
