<?php
// Response heads of many shapes, chosen by ?kind=.
header('Content-Type: text/plain; charset=utf-8');
switch ($_GET['kind'] ?? 'plain') {
    case 'cookies':
        header('Set-Cookie: first=1; Path=/', false);
        header('Set-Cookie: second=2; Path=/', false);
        break;
    case 'status':
        http_response_code((int) ($_GET['code'] ?? 404));
        break;
    case 'location':
        header('Location: https://example.invalid/there');
        break;
    case 'many':
        for ($i = 0; $i < (int) ($_GET['count'] ?? 100); $i++) {
            header("X-Field-$i: value $i");
        }
        break;
    case 'long':
        header('X-Long: ' . str_repeat('v', (int) ($_GET['size'] ?? 10000)));
        break;
    case 'none':
        ini_set('default_mimetype', '');
        header_remove();
        break;
    case 'empty':
        http_response_code(204);
        exit;
}
print "body\n";
