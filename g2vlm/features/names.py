"""Names of the encoders that come with packages; every other name is a folder of a model."""

MOBILENET = "mobilenet_v2"
MINILM = "minilm"
# Texts are encoded in parts; those of so many shards take about as long as the images of one.
SHARDS_A_TEXT_PART = 3
