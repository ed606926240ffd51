"""ImageFolderGen: images without labels → raw examples, for batch inference.

Reads a folder and the folders in it; writes Examples with the single split `images`.
"""
