"""StatisticsGen: TFX's, reading the facts that ImageExampleGen wrote instead of the images.

Up to some millions of images the facts fit into memory and TFDV needs no Beam for them; beyond that TFX's own executor
takes over. Either way no image is read, let alone decoded, again.
"""
