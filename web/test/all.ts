import "./diff";
import "./flow";
import "./schema";
import "./share";
