<?php
// Writes ?lines= lines to the error log, which FPM sends as FCGI_STDERR, and still answers.
require __DIR__ . '/common.php';
header('Content-Type: text/plain');
for ($i = 0; $i < number('lines', 1); $i++) {
    error_log("line $i for the error log");
}
print "answered\n";
