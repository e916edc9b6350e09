// aiofiles.hpp - `import aiofiles`: files, temporary files and the file system, without
// blocking the loop.
#pragma once

#include <aiofiles/errors.hpp>
#include <aiofiles/file.hpp>
#include <aiofiles/os.hpp>
#include <aiofiles/os_path.hpp>
#include <aiofiles/stdio.hpp>
#include <aiofiles/tempfile.hpp>
