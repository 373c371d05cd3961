<?php
// Prints ?size= bytes of the pattern that starts at ?seed=, and does not read the body.
require __DIR__ . '/common.php';
header('Content-Type: application/octet-stream');
header('Content-Length: ' . number('size', 0));
print_pattern(number('seed', 0), number('size', 0));
