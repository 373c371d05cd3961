<?php
// What the scripts beside this file share. A pattern's byte i is (seed + i) mod 251, as in harness/mod.rs.

function number(string $name, int $default): int
{
    return isset($_GET[$name]) ? (int) $_GET[$name] : $default;
}

/** Prints `$size` bytes of the pattern in pieces that stay small in memory. */
function print_pattern(int $seed, int $size): void
{
    $period = '';
    for ($i = 0; $i < 251; $i++) {
        $period .= chr(($seed + $i) % 251);
    }
    $piece = str_repeat($period, 256);
    for ($left = $size; $left > 0; $left -= strlen($piece)) {
        print $left < strlen($piece) ? substr($piece, 0, $left) : $piece;
    }
}
