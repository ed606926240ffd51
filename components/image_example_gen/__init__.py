"""ImageExampleGen: folders of images → tf.Examples of encoded bytes, split by content.

Reads a folder with one sub-folder per class (and, optionally, a second one held out by the dataset's
authors); writes an `Examples` artifact with a record per image. Refuses a folder that does not exist, a
single class, a class without images and a split without images.
"""
