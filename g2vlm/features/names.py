"""Names of the encoders that come with packages; every other name is a folder of a model."""

MOBILENET = "mobilenet_v2"
MINILM = "minilm"
# Texts are encoded in parts; those of so many shards take about as long as the images of one.
SHARDS_A_TEXT_PART = 3
# Folders of the encoded texts: of the open splits, and of the sealed test, whose opening leaves the
# first as they are.
TEXTS, SEALED_TEXTS = "texts", "sealed_texts"
