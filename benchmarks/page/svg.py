"""Charts as SVG text: bars side by side, and curves on logarithmic axes.

The colours follow the reader's light or dark mode. What is ours, a limit or a peer is also told
by place and pattern, not by colour alone.
"""

import itertools
import math
from xml.sax.saxutils import escape, quoteattr

WIDTH = 640
STYLE = """
text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.quiet{fill:#59636e}
.ours{fill:#0969da;stroke:#0969da}.limit{fill:#a6adb6;stroke:#6e7781}.peer{fill:#bf8700;stroke:#9a6700}
.spread,.axis{stroke:#1f2328;fill:none}.grid{stroke:#8c959f;stroke-opacity:.35;fill:none}
.line{fill:none;stroke-width:1.5}.line.ours{stroke-width:2.5;fill:none}.line.limit,.line.peer{fill:none}
.line.limit{stroke-dasharray:2 3}.gap{fill:#fff}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9198a1}.spread,.axis{stroke:#e6edf3}
.ours{fill:#4493f8;stroke:#4493f8}.limit{fill:#656c76;stroke:#9198a1}.peer{fill:#d29922;stroke:#d29922}
.gap{fill:#0d1117}}
"""
DASHES = ["none", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 3", "6 2 1 2 1 2"]


def text(x, y, content, css="", anchor="start"):
    css = f' class="{css}"' if css else ""
    anchor = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{css}{anchor}>{escape(content)}</text>'


def document(title, unit, height, body):
    head = [text(0, 14, title, "title"), text(0, 31, unit, "quiet")]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-label={quoteattr(title)}>',
        f"<style>{STYLE}</style>", *head, *body, "</svg>\n"])


def bars(title, unit, rows):
    """`rows`: (label, group, median, least, most, what stands behind the bar).

    A bar that would leave the others nothing is cut, with a gap in it.
    """
    left, right, step, top = 190, 150, 22, 42
    own = [row[2] for row in rows if row[1] == "ours"] or [row[2] for row in rows]
    ordered = sorted(row[2] for row in rows)
    longest = max(min(ordered[-1], 8 * max(own)), 1e-9)
    scale = (WIDTH - left - right) / longest
    body = []
    for i, (label, group, value, least, most, behind) in enumerate(rows):
        y = top + i * step
        width = max(1, min(value, longest) * scale)
        body.append(text(left - 8, y + 13, label, anchor="end"))
        body.append(f'<rect x="{left}" y="{y + 2}" width="{width:.1f}" height="15"'
                    f' class="{group}"/>')
        if value > longest:
            x = left + width * 0.9
            body.append(f'<path d="M{x:.0f} {y + 19}l6 -19h5l-6 19z" class="gap"/>')
        elif most > least:
            low, high = (left + min(x, longest) * scale for x in (least, most))
            body.append(f'<path d="M{low:.1f} {y + 9.5}H{high:.1f}" class="spread"/>')
            width = max(width, high - left)
        body.append(text(left + width + 6, y + 14, behind, "quiet"))
    return document(title, unit, top + step * len(rows) + 4, body)


def apart(places, least):
    """The places, in their order, moved down until they are `least` apart."""
    moved, last = {}, -math.inf
    for name, y in sorted(places.items(), key=lambda item: item[1]):
        last = moved[name] = max(y, last + least)
    return moved


def curves(title, unit, lines, amount):
    """`lines`: {label: (group, [(n, value), ...])}, all positive; `amount` writes a value."""
    behind = {label: f"{label} {amount(line[-1][1])}" for label, (_, line) in lines.items()}
    left, top, height = 74, 46, 250
    right = 30 + 7 * max(map(len, behind.values()))
    points = [point for _, line in lines.values() for point in line]
    n_low, n_high = min(n for n, _ in points), max(n for n, _ in points)
    low = 10 ** math.floor(math.log10(min(value for _, value in points)))
    high = 10 ** math.ceil(math.log10(max(value for _, value in points)) + 1e-9)
    high = max(high, low * 10)

    def x(n):
        span = math.log(n_high / n_low) or 1
        return left + (WIDTH - left - right) * math.log(n / n_low) / span

    def y(value):
        return top + height * (1 - math.log(value / low) / math.log(high / low))

    body, tick = [], low
    while tick <= high * 1.001:
        body.append(f'<path d="M{left} {y(tick):.1f}H{WIDTH - right}" class="grid"/>')
        body.append(text(left - 6, y(tick) + 4, amount(tick), "quiet", "end"))
        tick *= 10
    free = WIDTH
    for n in sorted({n for n, _ in points}, reverse=True):
        if x(n) + 30 > free:
            continue  # no room for its number beside the next one's
        free = x(n) - 30
        body.append(text(x(n), top + height + 16, f"{n:,}".replace(",", " "), "quiet", "middle"))
    ends = apart({label: y(line[-1][1]) for label, (_, line) in lines.items()}, 14)
    dashes = itertools.cycle(DASHES)
    ours_first = sorted(lines.items(), key=lambda item: item[1][0] != "ours")
    for (label, (group, line)), dash in zip(ours_first, dashes):
        path = "M" + "L".join(f"{x(n):.1f} {y(value):.1f}" for n, value in line)
        body.append(f'<path d="{path}" class="line {group}"'
                    f' style="fill:none;stroke-dasharray:{dash}"/>')
        for n, value in line:
            body.append(f'<circle cx="{x(n):.1f}" cy="{y(value):.1f}" r="2.2" class="{group}"/>')
        end = x(line[-1][0])
        body.append(f'<path d="M{end + 3:.0f} {y(line[-1][1]):.0f}L{WIDTH - right + 12}'
                    f' {ends[label]:.0f}" class="grid"/>')
        body.append(text(WIDTH - right + 16, ends[label] + 4, behind[label]))
    bottom = max(top + height, *ends.values()) + 24
    return document(title, unit, round(bottom), body)
