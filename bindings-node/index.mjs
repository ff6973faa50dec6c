import codeService from './index.js';

export const { CodeService, CodeServiceError } = codeService;
export default codeService;
