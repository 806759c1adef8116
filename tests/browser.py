"""Headless Chromium over a page that a test wrote."""

import html
import json
import os
import re
import shutil
import subprocess

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
REASON = "no chromium: apt-get install chromium"


def browse(page, folder, *arguments):
    """Run headless Chromium over a page; returns the finished process."""
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    flags += " --disable-background-networking --disable-component-update --disable-sync"
    flags += " --enable-unsafe-swiftshader"
    return subprocess.run(
        [CHROMIUM, *flags.split(), f"--user-data-dir={folder / 'profile'}", *arguments]
        + ["--window-size=400,900", "--enable-logging=stderr", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=240,
        env=os.environ | {"HOME": str(folder)},
    )


def play(page, script, folder):
    """Run a script at the end of a page; returns its object `said` and what the console said."""
    ending = f"""<script>
      const said = {{}};
      {script}
      const told = document.createElement("pre");
      told.textContent = "SAID" + JSON.stringify(said) + "DIAS";
      document.body.append(told);
    </script></body>"""
    file = folder / "page.html"
    file.write_text(page.read_text(encoding="utf-8").replace("</body>", ending), encoding="utf-8")
    done = browse(file, folder, "--dump-dom")
    found = re.search(r"<pre>SAID(.*)DIAS</pre>", done.stdout, re.S)
    assert found, done.stdout[-500:] + done.stderr[-500:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(found.group(1))), console
