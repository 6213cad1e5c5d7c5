"""The digest of `page.html`, so that a new page is a change of this package. Made by `web/build.mjs`."""

PAGE = "316d320e1c8da76a5c03a0199f8cc440dc006801790eaf461c17353eb615a892"
