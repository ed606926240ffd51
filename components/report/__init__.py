"""Report: everything a run found, on one page that is read offline.

Reads what the components before it wrote, the raw examples and the model; writes a `Report` artifact with a single
`index.html`: no script, nothing from the network, pictures inside. It is written whether or not the model is blessed.
`component` gathers, `contents` says what the page shows, `page` writes it down.
"""
