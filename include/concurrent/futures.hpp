// concurrent/futures.hpp - `import concurrent.futures`: executors and their futures.
#pragma once

#include <concurrent/futures/base.hpp>
#include <concurrent/futures/executor.hpp>
#include <concurrent/futures/process.hpp>
#include <concurrent/futures/thread.hpp>
