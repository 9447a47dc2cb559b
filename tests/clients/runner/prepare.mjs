// Installs the dependencies of the scripts, and prints the path of the Python that has them, if there is one. Tests of
// the server that run programs with these libraries start it.
import { DIRECTORY } from './docs.mjs';
import { installNode, installPython } from './install.mjs';

installNode(DIRECTORY);
console.log(installPython(DIRECTORY) ?? '');
