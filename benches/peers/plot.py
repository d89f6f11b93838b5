"""Draws lines over two logarithmic axes as SVG."""

from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 40, 50

# Told apart also by who sees no red or no green: Okabe and Ito's colours.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]


class Axis:
    """From numbers to places, by their logarithm; whole decades have a tick."""

    def __init__(self, numbers, begin, end):
        self.low, self.high = floor(log10(min(numbers))), ceil(log10(max(numbers)))
        self.high = max(self.high, self.low + 1)
        self.begin, self.end = begin, end

    def place(self, number):
        return self.begin + (self.end - self.begin) * (log10(number) - self.low) / (self.high - self.low)

    def ticks(self):
        return [10.0**power for power in range(self.low, self.high + 1)]


def short(number):
    """1000 is 1k."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def line(x1, y1, x2, y2, colour):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def frame(title, x_name, y_name, x_axis, y_axis):
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [text((LEFT + right) / 2, TOP - 18, title, more='font-weight="bold"')]
    for tick in x_axis.ticks():
        x = x_axis.place(tick)
        parts += [line(x, TOP, x, bottom, "#ddd"), text(x, bottom + 18, short(tick))]
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        parts += [line(LEFT, y, right, y, "#ddd"), text(LEFT - 8, y + 4, short(tick), "end")]
    parts += [text((LEFT + right) / 2, HEIGHT - 12, x_name)]
    middle = (TOP + bottom) / 2
    return [*parts, text(18, middle, y_name, more=f'transform="rotate(-90 18 {middle:.1f})"')]


def curve(name, points, colour, row, x_axis, y_axis):
    places = [(x_axis.place(x), y_axis.place(y)) for x, y in points]
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    y = TOP + 8 + 20 * row
    x = WIDTH - RIGHT + 12
    legend = [line(x, y, x + 20, y, colour), text(x + 26, y + 4, name, "start")]
    return [f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots, *legend]


def svg(title, x_name, y_name, curves):
    """`curves` has a list of points, all above zero, by name."""
    curves = {name: points for name, points in curves.items() if points}
    everything = [point for points in curves.values() for point in points]
    x_axis = Axis([x for x, _ in everything], LEFT, WIDTH - RIGHT)
    y_axis = Axis([y for _, y in everything], HEIGHT - BOTTOM, TOP)
    parts = frame(title, x_name, y_name, x_axis, y_axis)
    for row, (name, points) in enumerate(curves.items()):
        parts += curve(name, points, COLOURS[row % len(COLOURS)], row, x_axis, y_axis)
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif" font-size="12">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n"
