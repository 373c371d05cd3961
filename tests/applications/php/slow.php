<?php
// Answers in ?chunks= pieces, each flushed, with ?ms= milliseconds between them.
require __DIR__ . '/common.php';
header('Content-Type: text/plain');
for ($i = 0; $i < number('chunks', 3); $i++) {
    if ($i > 0) {
        usleep(1000 * number('ms', 20));
    }
    print "chunk $i\n";
    flush();
}
