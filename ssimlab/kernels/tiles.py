"""Where the pixels of a tile are: its extent, its padded copy, the border's gradient."""

from __future__ import annotations

from typing import NamedTuple

from .loops import step


@step
def source(t, size, mirror):
    """The pixel that stands at place t of the padded line; -1 for a zero."""
    if mirror and t < 0:
        t = -t
    if mirror and t >= size:
        t = 2 * (size - 1) - t
    return t if 0 <= t < size else -1


@step
def load(to, span, image, n, scale, corner, size, mirror):
    """Fill columns ``span`` of ``to`` with the padded plane n, from its pixel at ``corner`` on."""
    rows, columns = len(to), span[1] - span[0]
    height, width = size
    top, left = corner
    zero = to.dtype.type(0)
    begin = min(max(-left, 0), columns)
    end = max(min(width - left, columns), begin)
    for i in range(rows):
        t = source(top + i, height, mirror)
        out = to[i, span[0] : span[1]]
        if t < 0:
            out[:] = zero
            continue
        line = image.data[image.start[n] + t * image.row :]
        for j in range(begin):
            s = source(left + j, width, mirror)
            out[j] = line[s * image.column] * scale if s >= 0 else zero
        for j in range(end, columns):
            s = source(left + j, width, mirror)
            out[j] = line[s * image.column] * scale if s >= 0 else zero
        if image.column == 1:
            inside, pixels = out[begin:end], line[max(left, 0) :]
            for j in range(end - begin):
                inside[j] = pixels[j] * scale
        else:
            for j in range(begin, end):
                out[j] = line[(left + j) * image.column] * scale


@step
def subtract(images, rows, span):
    """Fill the third of the images with the difference of the others, where they were loaded."""
    for i in range(rows):
        x, y = images[0, i, span[0] : span[1]], images[1, i, span[0] : span[1]]
        d = images[2, i, span[0] : span[1]]
        for j in range(len(d)):
            d[j] = x[j] - y[j]


@step
def fold(gradient, r, low, high):
    """Add the gradient of the mirrored border rows to the rows they are copies of."""
    rows = gradient.shape[0]
    for k in range(1, r + 1):
        if low:
            gradient[r + k] += gradient[r - k]
        if high:
            gradient[rows - 1 - r - k] += gradient[rows - 1 - r + k]


class Extent(NamedTuple):
    """What a tile covers along one dimension; pixels of the padded image but for the map's."""

    first: int  # the pixels of the image
    end: int
    own_first: int  # the map pixels whose centers they are
    own_end: int
    map_first: int  # the map pixels to be computed
    map_end: int
    gradient_first: int  # the gradient's pixels; a mirrored border comes with the tile beside it
    gradient_end: int


@step
def extent(tile, tiles, size, r, border, mirror, backward):
    count = size + 2 * (border - r)
    first, end = size * tile // tiles, size * (tile + 1) // tiles
    own_first, own_end = max(first + border - r, 0), min(end + border - r, count)
    if not backward:
        return Extent(first, end, own_first, own_end, own_first, own_end, own_first, own_first)
    g_first = 0 if mirror and tile == 0 else first + border
    g_end = size + 2 * border if mirror and tile == tiles - 1 else end + border
    m_first, m_end = max(g_first - 2 * r, 0), min(g_end, count)
    return Extent(first, end, own_first, own_end, m_first, m_end, g_first, g_end)


class Tile(NamedTuple):
    """A tile, and where it stands in the arrays that it is worked on in.

    Rows there are counted from ``top``, and a map pixel stands at the first row of its window;
    columns from ``left``, and it stands at its center.
    """

    plane: int
    rows: Extent
    columns: Extent
    top: int
    left: int


@step
def place(number, grid, size, r, border, mirror, backward, margin):
    """The tile of this number; its map begins at column ``margin``."""
    down, across = grid
    height, width = size
    plane, rest = divmod(number, down * across)
    rows = extent(rest // across, down, height, r, border, mirror, backward)
    columns = extent(rest % across, across, width, r, border, mirror, backward)
    top = rows.gradient_first - 2 * r if backward else rows.map_first
    return Tile(plane, rows, columns, top, columns.map_first + r - margin)


@step
def write(gradient, padded, span, tile, scale, r, border, mirror, size):
    """The gradient of a tile, of which a mirrored border is a part, to its place in memory."""
    rows, columns = tile.rows, tile.columns
    if mirror:
        height, width = size
        inside = padded[:, span[0] : span[1]]
        fold(inside, r, rows.gradient_first == 0, rows.gradient_end == height + 2 * r)
        fold(inside.T, r, columns.gradient_first == 0, columns.gradient_end == width + 2 * r)
    skip_rows, skip_columns = border - rows.gradient_first, border - columns.gradient_first
    for i in range(rows.first, rows.end):
        line = padded[i + skip_rows, span[0] + columns.first + skip_columns :]
        out = gradient[tile.plane, i, columns.first : columns.end]
        for j in range(len(out)):
            out[j] = line[j] * scale
