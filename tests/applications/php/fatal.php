<?php
// Ends in a fatal error; with ?late=1 only after the head and some output have left.
header('Content-Type: text/plain');
if (isset($_GET['late'])) {
    print "before the error\n";
    flush();
}
this_function_does_not_exist();
