"""Great Expectations' Data Docs as one page that works offline and fetches nothing.

The library draws its page with style sheets, scripts, fonts and images from six hosts. Those
are taken out, a small style of our own is put in, and a content security policy forbids the
browser to fetch or run anything at all.
"""

import re
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from data_contracts.contract import Contract
from tasks.records import Checked
from tasks.validate.engine import Outcome
from tasks.wording import rows_of

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = Path(__file__).with_name("docs.css")
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_OUT = re.compile(
    r"<script\b.*?</script>|<style\b.*?</style>|<footer\b.*?</footer>|<title></title>"
    r"| Data asset: None<br>"
    r"|<tr>\s*<td [^>]*><div [^>]*>Run (?:Name|Time)</div></td>.*?__none__</div></td></tr>"
    r"|<nav class=\"navbar .*?</nav>\s*</div>\s*</nav>|<link\b[^>]*>|<img\b[^>]*>"
    rf"|\sonclick=\"[^\"]*\"|\shref=\"\.\.[^\"]*\"|-{_UUID}",
    re.DOTALL,
)
"""What the page would fetch or run, what leads to pages that are not there, and what differs
from run to run."""


def write_docs(
    contract: Contract, checked: Checked, found: Sequence[Outcome], result: Any, folder: Path
) -> None:
    """Write `index.html` into `folder`: the library's page, headed by what stops the run,
    what it warns of and what is in quarantine. Changes `result`: its texts come out escaped. The
    same rows make the same page.
    """
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer

    _mark(found, result)
    # A broken row expectation sets rows aside; only a breach is a failure of the whole.
    result.success = not checked.breaches
    page = _view().render(ValidationResultsPageRenderer().render(result))
    folder.mkdir()
    text = offline(page, f"{contract.dataset}: validation", _head(contract, checked))
    (folder / "index.html").write_text(text, "utf-8")


@cache
def _view() -> Any:
    """Return what draws the library's page: it takes its time to compile its templates."""
    from great_expectations.render.view.view import DefaultJinjaPageView

    return DefaultJinjaPageView()


def offline(page: str, title: str, head: str) -> str:
    """Return a page of the library with all that it would fetch or run taken out."""
    page = _OUT.sub("", page)
    page = re.sub(r"<title>.*?</title>", lambda _: f"<title>{escape(title)}</title>", page)
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    style = f"<style>\n{STYLE.read_text('utf-8')}</style>"
    page = page.replace("<head>", f'<head>\n<meta charset="UTF-8">\n{policy}\n{style}', 1)
    page = re.sub(r"<body>", lambda _: f"<body>\n{head}", page, count=1)
    return re.sub(r"[ \t]*\n\s*\n+", "\n", page)


def _head(contract: Contract, checked: Checked) -> str:
    state = "breaks its contract" if checked.breaches else "keeps its contract"
    items = [f'<li class="text-danger">{escape(b)}</li>' for b in checked.breaches]
    items += [f'<li class="text-warning">warning: {escape(w)}</li>' for w in checked.warnings]
    items += [
        f"<li>quarantined {r.rows:,} row{'s' * (r.rows > 1)}: {escape(r.expectation)}"
        f"<br><small>{escape('; '.join(r.examples))}</small></li>"
        for r in checked.reasons
    ]
    return (
        f"<header><h1>{escape(contract.dataset)} {state}</h1>\n"
        f"<p>{checked.expectations:,} expectations on {rows_of(checked.snapshot.rows)}; "
        f"{checked.counted}, {checked.rows:,} go on.</p>\n"
        f"<ul>{''.join(items)}</ul></header>"
    )


def _mark(found: Sequence[Outcome], result: Any) -> None:
    """Carry what the schema part found into the result, and escape the texts in it: the
    library escapes some of them and not others."""
    for one in result.results:
        config = one.expectation_config
        outcome = found[config.meta["check"]]
        one.success = outcome.success
        one.result = _escaped(one.result)
        one.exception_info = {
            "raised_exception": bool(outcome.error),
            "exception_message": escape(outcome.error),
            "exception_traceback": "",
        }
        config.kwargs = _escaped(dict(config.kwargs))
        config.description = escape(config.description)
    good = sum(bool(one.success) for one in result.results)
    count = len(result.results)
    result.success = good == count
    version = "great_expectations_version"
    result.meta = {version: result.meta.get(version)}
    result.statistics = {
        "evaluated_expectations": count,
        "successful_expectations": good,
        "unsuccessful_expectations": count - good,
        "success_percent": 100 * good / count,
    }


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _escaped(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_escaped(v) for v in value]
    return escape(value) if isinstance(value, str) else value
