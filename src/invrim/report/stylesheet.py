"""The page's style, inline, so that a report is one file that opens anywhere, offline, and prints well."""

from invrim.report.palette import ACCENT, INK, MUTED, PAPER, RULE

STYLE = f"""
:root {{ color-scheme: light; }}
* {{ box-sizing: border-box; }}
body {{
  margin: 0; background: {PAPER}; color: {INK};
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}}
main {{ max-width: 1128px; margin: 0 auto; padding: 40px 24px 64px; }}
h1 {{ font-size: 32px; line-height: 1.2; margin: 0 0 12px; letter-spacing: -0.01em; text-wrap: balance; }}
h2 {{ font-size: 21px; margin: 56px 0 4px; padding-top: 20px; border-top: 1px solid {RULE}; }}
h3 {{ font-size: 17px; margin: 28px 0 8px; }}
p {{ margin: 0 0 12px; max-width: 46em; }}
.summary {{ font-size: 19px; line-height: 1.5; }}
figure {{ margin: 12px 0 8px; }}
figure img {{ display: block; width: 100%; height: auto; }}
figcaption, .caption {{ color: {MUTED}; font-size: 14px; line-height: 1.5; max-width: 54em; margin-top: 10px; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin-top: 12px; }}
th, td {{ text-align: right; padding: 8px 0 8px 20px; border-bottom: 1px solid {RULE}; vertical-align: baseline; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
thead th {{ font-size: 13px; font-weight: 600; color: {MUTED}; }}
tbody th {{ font-weight: 400; }}
tr.group th {{ font-weight: 600; padding-top: 22px; }}
td.best {{ font-weight: 700; color: {ACCENT}; }}
.std {{ color: {MUTED}; font-weight: 400; white-space: nowrap; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 4px 24px; margin: 12px 0 0; font-size: 14px; }}
dt {{ color: {MUTED}; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
@media (max-width: 640px) {{
  body {{ font-size: 15px; }}
  main {{ padding: 24px 14px 48px; }}
  h1 {{ font-size: 25px; }}
  h2 {{ margin-top: 40px; }}
  .summary {{ font-size: 17px; }}
  th, td {{ padding-left: 8px; font-size: 14px; }}
  .std {{ display: block; font-size: 12px; }}
}}
@media print {{ figure, tr {{ break-inside: avoid; }} main {{ max-width: none; padding: 0; }} }}
"""
