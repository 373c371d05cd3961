<?php
// Ends the response, then works on for ?ms= milliseconds: END_REQUEST comes long before the child is free.
require __DIR__ . '/common.php';
header('Content-Type: text/plain');
print "finished\n";
fastcgi_finish_request();
usleep(1000 * number('ms', 500));
