"""Colours and sizes shared by pictures and page."""

INK = "#1c2024"
MUTED = "#6b7280"
RULE = "#d9dde3"
PAPER = "#ffffff"
ACCENT = "#0b63ce"
"""What the reader should look at."""
OTHERS = ("#9a6b00", "#8c3a5b", "#3f7d58", "#6b7280")
"""What it is compared with: distinct in hue and in lightness, also to colour-blind readers."""
FRAME = "#ffb000"
"""Outline of the detail, legible on any grey."""

WIDE = 10.8
"""Inches; the page column on a laptop, 1080 px at 100 px an inch."""
TALL = 4.2
"""Inches; a phone held upright."""
RESOLUTION = 140
"""Dots an inch: every pixel of a 320-pixel image has its own, and a case stays within a few megabytes."""
