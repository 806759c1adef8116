"""The G2VLM network: plain PyTorch, no pretrained encoder inside."""
