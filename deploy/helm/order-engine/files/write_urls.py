"""Write the URLs of the chart's databases, with their passwords, into files that the containers of this pod read."""

import os
from pathlib import Path
from urllib.parse import quote


def _for_the_owner_alone(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o400)


directory = Path(os.environ["URLS_DIRECTORY"])
for store in ("DATABASE", "REDIS"):
    template = os.environ.get(f"{store}_URL_TEMPLATE")
    if template is None:
        continue
    source = Path(os.environ[f"{store}_PASSWORD_FILE"])
    password = source.read_text().removesuffix("\n")
    if not password:
        raise SystemExit(f"{source} is empty: write the password into the Secret that it shows, then restart the pod.")
    target = directory / f"{store}_URL"
    # A restarted pod finds its own file.
    target.unlink(missing_ok=True)
    with open(target, "x", opener=_for_the_owner_alone) as file:
        file.write(template.replace("PASSWORD", quote(password, safe="")))
