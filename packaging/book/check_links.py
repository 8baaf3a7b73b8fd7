#!/usr/bin/env python3
"""Checks that every link of a site leads to a file in it, and to an anchor of that file.

Usage: check_links.py SITE PROJECT

A page may link to a folder or a file of the project that is no page: that must exist in the project.
"""

import html.parser
import pathlib
import sys
import urllib.parse


class Page(html.parser.HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self):
        super().__init__()
        self.links, self.anchors = [], set()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors.update(filter(None, (attributes.get("id"), attributes.get("name"))))
        self.links.extend(filter(None, (attributes.get("href" if tag in ("a", "link") else "src"),)))


def main():
    site, project = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    pages = {}
    for path in site.rglob("*.html"):
        page = pages[path] = Page()
        page.feed(path.read_text(encoding="utf-8"))
    wrong = []
    for path, page in sorted(pages.items()):
        # The search box's page, and that of a missing one, are mdBook's own; `print.html` repeats all others.
        if path.name in ("404.html", "print.html", "toc.html"):
            continue
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir() and (target / "index.html").exists():
                target = target / "index.html"
            if target in pages:
                if parts.fragment and urllib.parse.unquote(parts.fragment) not in pages[target].anchors:
                    wrong.append(f"{path.relative_to(site)}: no anchor {link}")
            elif not target.exists() and not (target.is_relative_to(site) and (project / target.relative_to(site)).exists()):
                wrong.append(f"{path.relative_to(site)}: {link} leads nowhere")
    print(f"{len(pages)} pages, {sum(len(page.links) for page in pages.values())} links")
    if wrong:
        sys.exit("\n".join(wrong))


main()
