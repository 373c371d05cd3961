<?php
// Dumps $_SERVER, which holds every parameter that was received, as JSON.
header('Content-Type: application/json');
print json_encode($_SERVER, JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE | JSON_THROW_ON_ERROR);
